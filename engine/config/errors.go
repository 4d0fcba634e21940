package config

import (
	"errors"
	"fmt"
	"strings"
)

// Kinds of errors; an *Error matches exactly one of them with errors.Is.
var (
	ErrUnknownKey = errors.New("config: unknown key")           // no such key
	ErrInvalid    = errors.New("config: invalid value")         // the key exists, the value is not allowed
	ErrMissing    = errors.New("config: missing key")           // a key that has no default was not given
	ErrReadOnly   = errors.New("config: key cannot be changed") // the key exists, but not at run time or not at this level
)

// Error is what is wrong with one key. Its text is one line.
type Error struct {
	Kind    error  // ErrUnknownKey, ErrInvalid, ErrMissing or ErrReadOnly
	Key     string // as written
	Value   string // as written, masked if secret; shown for ErrInvalid
	Reason  string // what is wrong
	Allowed string // what would be right
	Where   string // "server.properties:12" or "--override"; may be empty
}

// Error formats `config: key="value": reason; allowed: what (where)`.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("config: ")
	b.WriteString(oneLine(e.Key))
	if e.Kind == ErrInvalid {
		fmt.Fprintf(&b, "=%q", clip(e.Value, 200))
	}
	b.WriteString(": ")
	b.WriteString(oneLine(e.Reason))
	if e.Allowed != "" {
		b.WriteString("; allowed: ")
		b.WriteString(oneLine(e.Allowed))
	}
	if e.Where != "" {
		fmt.Fprintf(&b, " (%s)", oneLine(e.Where))
	}
	return b.String()
}

// Is matches the kind.
func (e *Error) Is(target error) bool { return target == e.Kind }

// Warning is something that the operator should know and that does not stop the node.
type Warning struct {
	Key   string
	Text  string
	Where string // may be empty
}

// String is one line.
func (w Warning) String() string {
	s := w.Key + ": " + w.Text
	if w.Where != "" {
		s += " (" + w.Where + ")"
	}
	return oneLine(s)
}

func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\r' {
			return ' '
		}
		return r
	}, s)
}

func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return s[:n] + "..."
}
