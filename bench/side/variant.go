package side

import (
	"regexp"
	"strings"
)

// A target may be run in variants beside each other: KIND@LABEL is the target KIND with another binary (Options.Binaries) or further settings
// (Options.Settings under that name). Before and after a change so take turns within one run.

var variantName = regexp.MustCompile(`^[a-z-]+(@[A-Za-z0-9._-]+)?$`)

// baseOf is the known target of which a name is a variant; the name itself when it is none.
func baseOf(name string) string {
	base, _, _ := strings.Cut(name, "@")
	return base
}

// targetOf finds a target by its name.
func targetOf(name string) (target, bool) {
	t, ok := targets[baseOf(name)]
	if !ok || !variantName.MatchString(name) {
		return target{}, false
	}
	if _, label, variant := strings.Cut(name, "@"); variant {
		t.title += " @" + label
	}
	return t, true
}

// binaryOf is the RingMQ that a target runs.
func (o Options) binaryOf(name string) string {
	if b, ok := o.Binaries[name]; ok {
		return b
	}
	return o.Binary
}

// ParseTargets reads NAME or NAME=BINARY, separated by commas, and says which have a binary of their own.
func ParseTargets(list string) (names []string, binaries map[string]string) {
	binaries = map[string]string{}
	for _, f := range strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' }) {
		name, binary, ok := strings.Cut(f, "=")
		names = append(names, name)
		if ok {
			binaries[name] = binary
		}
	}
	return names, binaries
}
