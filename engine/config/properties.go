package config

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Property is one key of a properties file.
type Property struct {
	Key, Value string
	Line       int // first line of the entry, from 1
}

// maxPropertiesBytes bounds a file: inline PEM chains are the largest values that occur.
const maxPropertiesBytes = 4 << 20

// ParseProperties reads the syntax of Java's .properties files: `key=value`, `key: value` or `key value`; lines that begin with # or !
// are comments; a backslash at the end of a line continues it, and elsewhere escapes the next character (\t \n \r \f \uXXXX). The text is
// UTF-8. Entries come in file order, duplicates included: the last one wins.
func ParseProperties(r io.Reader) ([]Property, error) {
	br := bufio.NewReader(io.LimitReader(r, maxPropertiesBytes+1))
	var (
		out   []Property
		total int
		line  int
	)
	for {
		logical, first, n, read, err := readLogicalLine(br, line)
		line += n
		total += read
		if total > maxPropertiesBytes {
			return nil, fmt.Errorf("config: properties larger than %d bytes", maxPropertiesBytes)
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("config: properties line %d: %w", line, err)
		}
		if logical != "" {
			p, perr := parseProperty(logical)
			if perr != nil {
				return nil, fmt.Errorf("config: properties line %d: %w", first, perr)
			}
			p.Line = first
			out = append(out, p)
		}
		if err != nil {
			return out, nil
		}
	}
}

// readLogicalLine returns the next natural lines joined at their continuations, without leading white space; "" for blank lines and
// comments. n is the number of natural lines read.
func readLogicalLine(br *bufio.Reader, before int) (logical string, first, n, read int, err error) {
	var b strings.Builder
	for {
		var s string
		s, err = br.ReadString('\n')
		read += len(s)
		if s == "" && err != nil {
			return b.String(), first, n, read, err
		}
		n++
		s = strings.TrimRight(s, "\r\n")
		s = strings.TrimLeft(s, " \t\f")
		if b.Len() == 0 && first == 0 {
			if s == "" || s[0] == '#' || s[0] == '!' {
				return "", before + n, n, read, err
			}
			first = before + n
		}
		if trailingBackslashes(s)%2 == 0 {
			b.WriteString(s)
			return b.String(), first, n, read, err
		}
		b.WriteString(s[:len(s)-1])
		if err != nil {
			return b.String(), first, n, read, err
		}
	}
}

func trailingBackslashes(s string) int {
	n := 0
	for n < len(s) && s[len(s)-1-n] == '\\' {
		n++
	}
	return n
}

// parseProperty splits a logical line at the first unescaped separator: white space, then at most one = or :, then white space.
func parseProperty(s string) (Property, error) {
	i := 0
	for i < len(s) {
		if s[i] == '\\' {
			i += 2
			continue
		}
		if strings.IndexByte("=: \t\f", s[i]) >= 0 {
			break
		}
		i++
	}
	i = min(i, len(s))
	rest := strings.TrimLeft(s[i:], " \t\f")
	if rest != "" && (rest[0] == '=' || rest[0] == ':') {
		rest = strings.TrimLeft(rest[1:], " \t\f")
	}
	key, err := unescapeProperty(s[:i])
	if err != nil {
		return Property{}, err
	}
	value, err := unescapeProperty(rest)
	if err != nil {
		return Property{}, err
	}
	if key == "" {
		return Property{}, errors.New("no key before the separator")
	}
	// Kafka trims what its definitions read; white space at the end of a line is a frequent accident.
	return Property{Key: key, Value: strings.TrimRight(value, " \t\f")}, nil
}

func unescapeProperty(s string) (string, error) {
	if !utf8.ValidString(s) {
		return "", errors.New("not UTF-8")
	}
	if strings.IndexByte(s, '\\') < 0 {
		return s, nil
	}
	var b strings.Builder
	var high rune // pending first half of a surrogate pair
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c != '\\' {
			b.WriteByte(c)
			continue
		}
		i++
		if i == len(s) {
			break // a lone backslash at the very end stands for nothing
		}
		switch s[i] {
		case 't':
			b.WriteByte('\t')
		case 'n':
			b.WriteByte('\n')
		case 'r':
			b.WriteByte('\r')
		case 'f':
			b.WriteByte('\f')
		case 'u':
			if i+4 >= len(s) {
				return "", errors.New(`\u needs four hexadecimal digits`)
			}
			v, err := strconv.ParseUint(s[i+1:i+5], 16, 16)
			if err != nil {
				return "", errors.New(`\u needs four hexadecimal digits`)
			}
			i += 4
			r := rune(v)
			switch {
			case r >= 0xD800 && r < 0xDC00 && strings.HasPrefix(s[i+1:], `\u`):
				high = r
				continue
			case r >= 0xDC00 && r < 0xE000 && high != 0:
				r = (high-0xD800)<<10 + (r - 0xDC00) + 0x10000
			}
			high = 0
			b.WriteRune(r)
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String(), nil
}
