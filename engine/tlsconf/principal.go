package tlsconf

import (
	"bytes"
	"crypto/tls"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// Anonymous is the name of a principal without a certificate.
const Anonymous = "ANONYMOUS"

// ErrNoRule is matched when no rule of ssl.principal.mapping.rules fits a subject: the connection must be closed, as Kafka does.
var ErrNoRule = errors.New("tlsconf: no rule of ssl.principal.mapping.rules fits the certificate")

// Principal is the name of the user (of type User) behind a connection: the subject of its certificate through the mapping rules, or Anonymous.
func (s *Source) Principal(state *tls.ConnectionState) (string, error) {
	if len(state.PeerCertificates) == 0 {
		return Anonymous, nil
	}
	dn, err := distinguishedName(state.PeerCertificates[0].RawSubject)
	if err != nil {
		return "", err
	}
	return s.current.Load().rules.apply(dn)
}

// attributes are those that RFC 2253 has names for. Java writes all others by their number.
var attributes = []struct {
	oid  asn1.ObjectIdentifier
	name string
}{
	{asn1.ObjectIdentifier{2, 5, 4, 3}, "CN"}, {asn1.ObjectIdentifier{2, 5, 4, 6}, "C"}, {asn1.ObjectIdentifier{2, 5, 4, 7}, "L"},
	{asn1.ObjectIdentifier{2, 5, 4, 8}, "ST"}, {asn1.ObjectIdentifier{2, 5, 4, 9}, "STREET"}, {asn1.ObjectIdentifier{2, 5, 4, 10}, "O"},
	{asn1.ObjectIdentifier{2, 5, 4, 11}, "OU"}, {asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 25}, "DC"},
	{asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 1}, "UID"},
}

// distinguishedName is a subject as Java's X500Principal.getName writes it: RFC 2253, most specific part first.
func distinguishedName(der []byte) (string, error) {
	var parts []asn1.RawValue
	if rest, err := asn1.Unmarshal(der, &parts); err != nil || len(rest) > 0 {
		return "", fmt.Errorf("tlsconf: the certificate's subject is not readable: %w", errors.Join(err))
	}
	var out []string
	for _, part := range parts {
		var values []string
		for rest := part.Bytes; len(rest) > 0; {
			var av struct {
				Type  asn1.ObjectIdentifier
				Value asn1.RawValue
			}
			var err error
			if rest, err = asn1.Unmarshal(rest, &av); err != nil {
				return "", fmt.Errorf("tlsconf: the certificate's subject is not readable: %w", err)
			}
			values = append(values, attribute(av.Type, av.Value))
		}
		out = append(out, strings.Join(values, "+"))
	}
	slices.Reverse(out)
	return strings.Join(out, ","), nil
}

func attribute(oid asn1.ObjectIdentifier, value asn1.RawValue) string {
	for _, a := range attributes {
		if a.oid.Equal(oid) {
			if text, ok := directoryString(value); ok {
				return a.name + "=" + escape(text)
			}
			return a.name + "=#" + hex.EncodeToString(value.FullBytes)
		}
	}
	return oid.String() + "=#" + hex.EncodeToString(value.FullBytes)
}

// directoryString is the text of a value that is a string.
func directoryString(v asn1.RawValue) (string, bool) {
	if v.Class != asn1.ClassUniversal {
		return "", false
	}
	switch v.Tag {
	case asn1.TagUTF8String, asn1.TagPrintableString, asn1.TagIA5String:
		return string(v.Bytes), utf8.Valid(v.Bytes)
	case asn1.TagT61String:
		runes := make([]rune, len(v.Bytes)) // as everyone does, Latin-1
		for i, b := range v.Bytes {
			runes[i] = rune(b)
		}
		return string(runes), true
	case asn1.TagBMPString:
		var text string
		_, err := asn1.Unmarshal(v.FullBytes, &text)
		return text, err == nil
	}
	return "", false
}

// escape quotes what would mean something else, and as Java does = and # everywhere.
func escape(s string) string {
	var b bytes.Buffer
	for i, r := range s {
		first, last := i == 0, i+utf8.RuneLen(r) == len(s)
		switch {
		case strings.ContainsRune(`,=+<>#;"\`, r), r == ' ' && (first || last):
			b.WriteByte('\\')
		case r == 0:
			b.WriteString(`\00`)
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

// rules are ssl.principal.mapping.rules; the first that fits counts, without any none fits.
type rules []rule

// rule is RULE:pattern/replacement/[LU], or DEFAULT, with a nil pattern.
type rule struct {
	whole       *regexp.Regexp // the pattern for the whole name
	pattern     *regexp.Regexp
	replacement string
	fold        byte // 'L', 'U' or 0
}

// ruleText is one rule of the list and what separates it from the next, in Kafka's own words.
var ruleText = regexp.MustCompile(`^\s*(?:(DEFAULT)|RULE:((?:\\.|[^\\/])*)/((?:\\.|[^\\/])*)/([LU]?))\s*(?:,\s*|$)`)

func parseRules(text string) (rules, error) {
	var out rules
	rest := strings.TrimSpace(text)
	for rest != "" {
		m := ruleText.FindStringSubmatch(rest)
		if m == nil {
			return nil, fmt.Errorf("not understood from %q on; a rule is DEFAULT or RULE:pattern/replacement/ with L or U at the end for lower or upper case", rest)
		}
		rest = rest[len(m[0]):]
		if m[1] != "" {
			out = append(out, rule{})
			continue
		}
		r := rule{replacement: m[3]}
		if m[4] != "" {
			r.fold = m[4][0]
		}
		var err error
		if r.pattern, err = regexp.Compile(m[2]); err == nil {
			r.whole, err = regexp.Compile(`^(?:` + m[2] + `)$`)
		}
		if err != nil {
			return nil, fmt.Errorf("the pattern %q: %w", m[2], err)
		}
		out = append(out, r)
	}
	return out, nil
}

func (rs rules) apply(dn string) (string, error) {
	for _, r := range rs {
		if r.pattern == nil {
			return dn, nil
		}
		if !r.whole.MatchString(dn) {
			continue
		}
		var b []byte
		at := 0
		for _, m := range r.pattern.FindAllStringSubmatchIndex(dn, -1) {
			b = append(b, dn[at:m[0]]...)
			b = r.expand(b, dn, m)
			at = m[1]
		}
		name := string(append(b, dn[at:]...))
		switch r.fold {
		case 'L':
			name = strings.ToLower(name)
		case 'U':
			name = strings.ToUpper(name)
		}
		return name, nil
	}
	return "", fmt.Errorf("%w: %s", ErrNoRule, dn)
}

// expand appends the replacement for a match: $1 is a group, \c the character c, and a $ that is followed by no group stands for itself.
func (r rule) expand(b []byte, s string, m []int) []byte {
	for i := 0; i < len(r.replacement); i++ {
		c := r.replacement[i]
		switch {
		case c == '\\' && i+1 < len(r.replacement):
			i++
			b = append(b, r.replacement[i])
		case c == '$' && i+1 < len(r.replacement) && r.replacement[i+1]-'0' <= 9:
			group := -1
			end := i + 1
			for j, n := i+1, 0; j < len(r.replacement) && r.replacement[j]-'0' <= 9; j++ { // as many digits as make a group
				if n = n*10 + int(r.replacement[j]-'0'); 2*n >= len(m) {
					break
				}
				group, end = n, j+1
			}
			if group < 0 {
				b = append(b, c)
				continue
			}
			if m[2*group] >= 0 {
				b = append(b, s[m[2*group]:m[2*group+1]]...)
			}
			i = end - 1
		default:
			b = append(b, c)
		}
	}
	return b
}
