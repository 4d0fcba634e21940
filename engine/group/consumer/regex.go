package consumer

import (
	"regexp"
	"slices"
)

// regex is an expression that members are subscribed to.
type regex struct {
	members  int
	resolved bool
	topics   []string // that it came to; ascending
	version  int64    // of the topics then
	millis   int64    // when
}

// minRefresh is the least time between two resolutions of a group's expressions, in milliseconds. Kafka's figure.
const minRefresh = 10_000

// validateRegex judges an expression: it has to be RE2, as in Kafka.
func validateRegex(expression string) *Error {
	if _, err := regexp.Compile(expression); err != nil {
		return refuse(CodeInvalidRegex, "SubscribedTopicRegex `%s` is not a valid regular expression: %v.", expression, err)
	}
	return nil
}

// BeginRefresh reports which expressions are to be resolved, if now is the time: some were not yet, topics came, or it was long ago.
// REQUIRES: when it is not empty, EndRefresh is called, with the result of Resolve or nil.
func (g *Group) BeginRefresh(env *Env, interval int64) []string {
	if len(g.regexes) == 0 || g.refreshing || g.refreshedMillis > 0 && env.Now <= g.refreshedMillis+minRefresh {
		return nil
	}
	due := env.Now > g.refreshedMillis+interval
	all := make([]string, 0, len(g.regexes))
	for expression, r := range g.regexes {
		due = due || !r.resolved || r.version != env.Topics.Version()
		all = append(all, expression)
	}
	if !due {
		return nil
	}
	g.refreshing = true
	slices.Sort(all)
	return all
}

// Resolved is what expressions come to.
type Resolved struct {
	Topics  map[string][]string // by expression; ascending
	Version int64               // of the topics
	Millis  int64
}

// Resolve finds the topics whose names match expressions as a whole, and that may be shown to who asked. It belongs to no group: it may
// take long, and runs outside.
func Resolve(expressions []string, topics Topics, millis int64, visible func(topic string) bool) *Resolved {
	r := &Resolved{Topics: make(map[string][]string, len(expressions)), Version: topics.Version(), Millis: millis}
	compiled := make(map[string]*regexp.Regexp, len(expressions))
	for _, expression := range expressions {
		r.Topics[expression] = nil
		// Anchors outside of a group bind to all of it; what compiles alone compiles so, too.
		if re, err := regexp.Compile(`\A(?:` + expression + `)\z`); err == nil {
			compiled[expression] = re
		}
	}
	shown := make(map[string]bool)
	topics.Each(func(name string) bool {
		for expression, re := range compiled {
			if !re.MatchString(name) {
				continue
			}
			ok, known := shown[name]
			if !known {
				ok = visible(name)
				shown[name] = ok
			}
			if ok {
				r.Topics[expression] = append(r.Topics[expression], name)
			}
		}
		return true
	})
	for _, names := range r.Topics {
		slices.Sort(names)
	}
	return r
}

// EndRefresh takes the result; nil when there is none.
func (g *Group) EndRefresh(env *Env, result *Resolved) {
	g.refreshing = false
	if result == nil {
		return
	}
	changed := false
	for expression, topics := range result.Topics {
		r := g.regexes[expression]
		if r == nil {
			continue // nobody is subscribed to it any more
		}
		changed = changed || !r.resolved && len(topics) > 0 || !slices.Equal(r.topics, topics)
		r.resolved, r.topics, r.version, r.millis = true, topics, result.Version, result.Millis
		g.mark(KindRegex, expression)
	}
	g.refreshedMillis = result.Millis
	g.updateEpoch(env, changed)
}
