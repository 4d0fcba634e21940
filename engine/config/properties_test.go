package config

import (
	"slices"
	"strings"
	"testing"
)

func TestParseProperties(t *testing.T) {
	tests := []struct {
		name, in string
		want     []Property
	}{
		{"separators", "a=1\nb:2\nc 3\nd\t=\t4\n e  :  5", []Property{{"a", "1", 1}, {"b", "2", 2}, {"c", "3", 3}, {"d", "4", 4}, {"e", "5", 5}}},
		{"comments and blanks", "# one\n\n  ! two\na=1\n", []Property{{"a", "1", 4}}},
		{"hash inside a value", "a=1 # not a comment", []Property{{"a", "1 # not a comment", 1}}},
		{"value with separators", "url=s3://h?a=b:c", []Property{{"url", "s3://h?a=b:c", 1}}},
		{"second separator belongs to the value", "a==1\nb=:2", []Property{{"a", "=1", 1}, {"b", ":2", 2}}},
		{"continuation", "a=1,\\\n   2,\\\n\t3\nb=4", []Property{{"a", "1,2,3", 1}, {"b", "4", 4}}},
		{"escaped backslash at the end", "a=1\\\\\nb=2", []Property{{"a", "1\\", 1}, {"b", "2", 2}}},
		{"continued comment is no continuation", "# x\\\na=1", []Property{{"a", "1", 2}}},
		{"escapes", `k\=e\:y\ z = \tA\u00e9\n\q`, []Property{{"k=e:y z", "\tAé\nq", 1}}},
		{"surrogates", `a=\ud83d\ude00`, []Property{{"a", "😀", 1}}},
		{"no value", "a\nb=\nc", []Property{{"a", "", 1}, {"b", "", 2}, {"c", "", 3}}},
		{"trailing space", "a=1  \nb=2\t", []Property{{"a", "1", 1}, {"b", "2", 2}}},
		{"windows", "a=1\r\nb=2\\\r\n3\r\n", []Property{{"a", "1", 1}, {"b", "23", 2}}},
		{"duplicates stay", "a=1\na=2", []Property{{"a", "1", 1}, {"a", "2", 2}}},
		{"lone backslash at the end of the file", `a=1\`, []Property{{"a", "1", 1}}},
		{"unicode", "名=値", []Property{{"名", "値", 1}}},
		{"empty", "", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseProperties(strings.NewReader(tt.in))
			if err != nil || !slices.Equal(got, tt.want) {
				t.Fatalf("got %v, %v, want %v", got, err, tt.want)
			}
		})
	}
}

func TestParsePropertiesErrors(t *testing.T) {
	for in, want := range map[string]string{
		"a=1\n=2":       "line 2: no key",
		"a=\\u12":       "line 1: \\u needs",
		"a=\\u12zz":     "line 1: \\u needs",
		"a=1\nb=\xff":   "line 2: not UTF-8",
		"a=1,\\\n2\n=x": "line 3: no key",
	} {
		if _, err := ParseProperties(strings.NewReader(in)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", in, err, want)
		}
	}
	if _, err := ParseProperties(strings.NewReader("a=" + strings.Repeat("x", maxPropertiesBytes))); err == nil {
		t.Error("an endless file was read")
	}
}

// FuzzProperties: what was parsed, written out again with everything escaped, parses to the same.
func FuzzProperties(f *testing.F) {
	for _, s := range []string{"a=1\nb:2\\\n 3", `k\=\u00e9 v`, "# c\n!d\n\n a = \\t", "=x", "a=\\ud83d\\ude00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		props, err := ParseProperties(strings.NewReader(in))
		if err != nil {
			return
		}
		var b strings.Builder
		for _, p := range props {
			if p.Key == "" || p.Line < 1 {
				t.Fatalf("property %+v", p)
			}
			b.WriteString(escapeProperty(p.Key) + "=" + escapeProperty(p.Value) + "\n")
		}
		again, err := ParseProperties(strings.NewReader(b.String()))
		if err != nil || len(again) != len(props) {
			t.Fatalf("rewritten as %q: %v, %v, want %v", b.String(), again, err, props)
		}
		for i := range again {
			if again[i].Key != props[i].Key || again[i].Value != props[i].Value {
				t.Fatalf("rewritten as %q: entry %d is %v, want %v", b.String(), i, again[i], props[i])
			}
		}
	})
}

func escapeProperty(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\u0009`)
		case r == '\f':
			b.WriteString(`\f`)
		case r < 0x80 && !(r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'):
			if r < ' ' {
				b.WriteRune(r)
				continue
			}
			b.WriteString(`\` + string(r))
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}
