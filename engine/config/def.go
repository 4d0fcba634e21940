package config

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Type is a key's type with the number that DescribeConfigs reports.
type Type int8

const (
	Boolean  Type = 1
	String   Type = 2
	Int      Type = 3 // int32
	Short    Type = 4 // int16
	Long     Type = 5 // int64
	Double   Type = 6
	List     Type = 7 // comma separated
	Class    Type = 8 // name of a Java class; matters only as far as a key says so
	Password Type = 9 // secret
)

// String is Kafka's name of the type.
func (t Type) String() string {
	names := [...]string{"UNKNOWN", "BOOLEAN", "STRING", "INT", "SHORT", "LONG", "DOUBLE", "LIST", "CLASS", "PASSWORD"}
	if t < 0 || int(t) >= len(names) {
		return names[0]
	}
	return names[t]
}

// Use says what setting a key does.
type Use uint8

const (
	NoEffect Use = iota // accepted in silence: nothing here corresponds to it, and nothing is lost
	Used                // it does what its documentation says
	Warned              // accepted, but the operator is told that it does nothing here
)

// String is a word for `ringmq config keys`.
func (u Use) String() string {
	return [...]string{"no-effect", "used", "warned"}[u]
}

// Scope says whether and where a broker key may change while the broker runs.
type Scope uint8

const (
	ReadOnly    Scope = iota
	PerBroker         // for one broker only
	ClusterWide       // for one broker or as the default of all
)

// String is Kafka's word for the update mode.
func (s Scope) String() string { return [...]string{"read-only", "per-broker", "cluster-wide"}[s] }

// Def defines a key.
type Def struct {
	Name    string
	Type    Type
	Default string // effective when nobody sets the key; "" with Null: no value at all
	Null    bool   // there is no default
	Doc     string // one sentence; may be empty for keys without effect
	Use     Use
	Scope   Scope // broker keys only; every topic key is dynamic
	// Extra keys are known to some version or to AutoMQ but not to Kafka 4.3: they are accepted, and listed only when set.
	Extra bool
	// Internal keys are listed only when set.
	Internal bool

	check *check // nil: the type alone decides
}

// Sensitive reports whether the value must never be shown.
func (d *Def) Sensitive() bool { return d.Type == Password }

// Listed reports whether listings show the key although nobody set it.
func (d *Def) Listed() bool { return !d.Extra && !d.Internal }

// Allowed describes the legal values.
func (d *Def) Allowed() string {
	if d.check != nil {
		return d.check.allowed
	}
	switch d.Type {
	case Boolean:
		return "true or false"
	case Int:
		return "a number from -2147483648 to 2147483647"
	case Short:
		return "a number from -32768 to 32767"
	case Long:
		return "a number from -9223372036854775808 to 9223372036854775807"
	case Double:
		return "a decimal number"
	case List:
		return "a comma separated list"
	case Class:
		return "a class name"
	}
	return "any text"
}

// Validate judges a value. The error is an *Error of kind ErrInvalid.
func (d *Def) Validate(value string) error {
	reason := d.typeReason(value)
	if reason == "" && d.check != nil {
		reason = d.check.judge(strings.TrimSpace(value))
	}
	if reason == "" {
		return nil
	}
	return d.invalid(value, reason)
}

func (d *Def) invalid(value, reason string) *Error {
	if d.Sensitive() {
		value = masked
	}
	return &Error{Kind: ErrInvalid, Key: d.Name, Value: value, Reason: reason, Allowed: d.Allowed()}
}

func (d *Def) typeReason(value string) string {
	v := strings.TrimSpace(value)
	switch d.Type {
	case Boolean:
		if !strings.EqualFold(v, "true") && !strings.EqualFold(v, "false") {
			return "not a boolean"
		}
	case Int, Short, Long:
		bits := map[Type]int{Int: 32, Short: 16, Long: 64}[d.Type]
		if _, err := strconv.ParseInt(v, 10, bits); err != nil {
			return "not a number of type " + d.Type.String()
		}
	case Double:
		if f, err := strconv.ParseFloat(v, 64); err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
			return "not a decimal number"
		}
	}
	return ""
}

// check is what a value must obey beyond its type.
type check struct {
	allowed string
	judge   func(value string) (reason string) // gets a value of the right type
}

func atLeast(low int64) *check { return between(low, math.MaxInt64) }

func between(low, high int64) *check {
	allowed := "a number from " + strconv.FormatInt(low, 10)
	if high != math.MaxInt64 {
		allowed += " to " + strconv.FormatInt(high, 10)
	} else {
		allowed += " up"
	}
	return &check{allowed, func(v string) string {
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil || n < low || n > high {
			return "out of range"
		}
		return ""
	}}
}

func orMinusOne(c *check) *check {
	return &check{c.allowed + ", or -1", func(v string) string {
		if v == "-1" {
			return ""
		}
		return c.judge(v)
	}}
}

func fraction(low, high float64) *check {
	allowed := "a decimal number from " + strconv.FormatFloat(low, 'g', -1, 64) + " to " + strconv.FormatFloat(high, 'g', -1, 64)
	return &check{allowed, func(v string) string {
		f, err := strconv.ParseFloat(v, 64)
		if err != nil || !(f >= low && f <= high) { // a NaN is neither
			return "out of range"
		}
		return ""
	}}
}

func oneOf(values ...string) *check {
	return &check{strings.Join(values, ", "), func(v string) string {
		if !slices.Contains(values, v) {
			return "not one of them"
		}
		return ""
	}}
}

func oneOfFold(values ...string) *check {
	return &check{strings.Join(values, ", ") + " in any case", func(v string) string {
		if !slices.ContainsFunc(values, func(s string) bool { return strings.EqualFold(s, v) }) {
			return "not one of them"
		}
		return ""
	}}
}

// listOf allows a non-empty list without duplicates of the given values, with empty the empty list too.
func listOf(empty bool, values ...string) *check {
	allowed := "a comma separated list of " + strings.Join(values, ", ")
	if empty {
		allowed += ", or nothing"
	}
	return &check{allowed, func(v string) string {
		items := splitList(v)
		if len(items) == 0 && !empty {
			return "empty"
		}
		for i, s := range items {
			if !slices.Contains(values, s) {
				return strconv.Quote(clip(s, 50)) + " is not one of them"
			}
			if slices.Contains(items[:i], s) {
				return strconv.Quote(s) + " appears twice"
			}
		}
		return ""
	}}
}

func nonEmpty(what string) *check {
	return &check{what, func(v string) string {
		if strings.Trim(v, ", \t") == "" {
			return "empty"
		}
		return ""
	}}
}

// only allows one value: everything else would promise something that this version does not do.
func only(value, why string) *check {
	return &check{strconv.Quote(value), func(v string) string {
		if !strings.EqualFold(v, value) {
			return why
		}
		return ""
	}}
}

// parsedBy turns a parser that returns a reason into a check.
func parsedBy(allowed string, reason func(string) string) *check { return &check{allowed, reason} }

func splitList(s string) []string {
	var out []string
	for item := range strings.SplitSeq(s, ",") {
		if item = strings.TrimSpace(item); item != "" {
			out = append(out, item)
		}
	}
	return out
}

// tables are the definitions, built once on first use from the constant tables of the def_*.go files.
type tables struct {
	broker, topic   []*Def // by name
	brokers, topics map[string]*Def
}

var loadTables = sync.OnceValue(func() *tables {
	t := &tables{brokers: map[string]*Def{}, topics: map[string]*Def{}}
	for _, list := range [][]Def{serverDefs(), connectionDefs(), coordinationDefs(), shareDefs(), logDefs(), securityDefs(), unusedDefs(), olderDefs(), storageDefs(), balancerDefs()} {
		for _, d := range list {
			if t.brokers[d.Name] != nil {
				panic("BUG: config: broker key defined twice: " + d.Name)
			}
			t.brokers[d.Name] = &d
			t.broker = append(t.broker, &d)
		}
	}
	for _, d := range topicDefs() {
		if t.topics[d.Name] != nil {
			panic("BUG: config: topic key defined twice: " + d.Name)
		}
		t.topics[d.Name] = &d
		t.topic = append(t.topic, &d)
	}
	byName := func(a, b *Def) int { return cmp.Compare(a.Name, b.Name) }
	slices.SortFunc(t.broker, byName)
	slices.SortFunc(t.topic, byName)
	return t
})

// BrokerDef finds a broker key.
func BrokerDef(key string) (*Def, bool) {
	d, ok := loadTables().brokers[key]
	return d, ok
}

// TopicDef finds a topic key.
func TopicDef(key string) (*Def, bool) {
	d, ok := loadTables().topics[key]
	return d, ok
}

// BrokerDefs returns all broker keys by name. The slice is shared: read only.
func BrokerDefs() []*Def { return loadTables().broker }

// TopicDefs returns all topic keys by name. The slice is shared: read only.
func TopicDefs() []*Def { return loadTables().topic }
