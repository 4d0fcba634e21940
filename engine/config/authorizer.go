package config

import (
	"strconv"
	"strings"
)

// standardAuthorizer is the class whose rules package acl follows.
const standardAuthorizer = "org.apache.kafka.metadata.authorizer.StandardAuthorizer"

func authorizerCheck() *check {
	return parsedBy(standardAuthorizer+", or empty for none", func(v string) string {
		if v != "" && v != standardAuthorizer {
			return "this program has the rules of the standard authorizer only and does not run without those that are asked for"
		}
		return ""
	})
}

const superUsersAllowed = "User:<name>;User:<name>..."

func superUsersCheck() *check {
	return parsedBy(superUsersAllowed, func(v string) string { _, reason := parseSuperUsers(v); return reason })
}

// parseSuperUsers parses super.users. Names may hold commas, as those of certificates do.
func parseSuperUsers(v string) ([]string, string) {
	var out []string
	for item := range strings.SplitSeq(v, ";") {
		item = strings.TrimSpace(item)
		if item == "" {
			continue
		}
		if kind, name, ok := strings.Cut(item, ":"); !ok || kind == "" || name == "" {
			return nil, strconv.Quote(clip(item, 80)) + " is not type:name"
		}
		out = append(out, item)
	}
	return out, ""
}
