package config

import (
	"slices"
	"strings"
)

// unknownKey makes the error for a key that no definition has, naming the closest ones.
func unknownKey(key, kind string, names []string) *Error {
	e := &Error{Kind: ErrUnknownKey, Key: clip(key, 200), Reason: "no such " + kind + " key"}
	if c := closest(key, names); c != "" {
		e.Reason += ", did you mean " + c + "?"
	}
	e.Allowed = "the keys that `ringmq config keys` lists"
	return e
}

func brokerNames() []string {
	defs := BrokerDefs()
	names := make([]string, len(defs))
	for i, d := range defs {
		names[i] = d.Name
	}
	return names
}

// closest returns the name at the smallest edit distance, or "" if none is near enough to be meant.
func closest(key string, names []string) string {
	if len(key) > 100 {
		return ""
	}
	lower := strings.ToLower(strings.ReplaceAll(strings.ReplaceAll(key, "_", "."), "-", "."))
	best, bestDistance := "", max(2, len(key)/4)+1
	for _, n := range names {
		if abs(len(n)-len(lower)) >= bestDistance {
			continue
		}
		if d := distance(lower, n, bestDistance); d < bestDistance {
			best, bestDistance = n, d
		}
	}
	return best
}

func abs(n int) int {
	if n < 0 {
		return -n
	}
	return n
}

// distance is the Levenshtein distance; it stops early at limit.
func distance(a, b string, limit int) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			above := row[j]
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(above+1, row[j-1]+1, diagonal+cost)
			diagonal = above
		}
		if slices.Min(row) >= limit {
			return limit
		}
	}
	return row[len(b)]
}
