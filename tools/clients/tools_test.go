package clients

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ringmq/ringmq/tools/javakit"
	"github.com/ringmq/ringmq/tools/waittest"
)

var rewrite = flag.Bool("rewrite", false, "write testdata/tools.txt and testdata/acls.txt anew from Apache Kafka")

// TestTools runs what users type of every command line tool of Kafka in one virtual machine, against a node, and compares what is printed with testdata/tools.txt, which
// Apache Kafka has printed for the same commands. Where RingMQ differs on purpose, testdata/differences.txt says so.
func TestTools(t *testing.T) {
	notShort(t)
	kit := compiled(t, javakit.AppSet)
	n := startNode(t, "offsets.topic.num.partitions=5", "transaction.state.log.num.partitions=5")
	got := toolScript{seed: n.Seed()}.run(t, startToolbox(t, kit), "testdata/tools.script")
	want := parseGolden(t, "testdata/tools.txt")
	differences := parseGolden(t, "testdata/differences.txt")
	for i, c := range got {
		w, ok := want[c.command]
		if !ok {
			t.Errorf("%s: testdata/tools.txt does not have it: make it anew with -rewrite", c.command)
			continue
		}
		d, differs := differences[c.command]
		delete(differences, c.command)
		if differs {
			w = amended(t, c.command, w, d)
		}
		if !sameLines(w, c.printed) {
			t.Errorf("%d: %s\nprinted:\n%s\nwanted:\n%s", i, c.command, c.printed, w)
		}
	}
	for command := range differences {
		t.Errorf("testdata/differences.txt has %q, which is not run", command)
	}
}

// TestToolsOfKafka runs the same against Apache Kafka: what is in testdata/tools.txt is what it prints. With -rewrite it writes the file.
func TestToolsOfKafka(t *testing.T) {
	wholeOnly(t)
	kit := compiled(t, javakit.AppSet)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	k, err := kit.StartKafka(ctx, javakit.KafkaOptions{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer k.Stop()
	s := toolScript{seed: k.Bootstrap}
	if *rewrite {
		writeGolden(t, "testdata/tools.txt", s.run(t, startToolbox(t, kit), "testdata/tools.script"))
		return
	}
	want := parseGolden(t, "testdata/tools.txt")
	s.settled = func(command, printed string) bool { return sameLines(want[command], printed) }
	for _, c := range s.run(t, startToolbox(t, kit), "testdata/tools.script") {
		if !sameLines(want[c.command], c.printed) {
			t.Errorf("%s\nprinted:\n%s\nwant:\n%s", c.command, c.printed, want[c.command])
		}
	}
}

// again gives a command that was there before a number.
type again map[string]int

func (a again) name(command string) string {
	if a[command]++; a[command] > 1 {
		return fmt.Sprintf("%s # %d", command, a[command])
	}
	return command
}

// ran is a command and what it printed, masked.
type ran struct{ command, printed string }

// toolScript says how to run a script of tools.
type toolScript struct {
	seed  string
	users string // host:port of a listener where users have to say who they are
	// settled says whether a user's tool, or one that describes, has printed what is expected: a change of rights or, on Apache Kafka, of a configuration may take a
	// moment to be seen. nil: it has.
	settled func(command, printed string) bool
}

// run runs a script: a command per line, with its standard input after " < "; {dir} is a directory, and "NAME := TEXT" a file in it. After "streams join GROUP" the
// group has a member, until "streams leave GROUP", and so with "share". A line that begins with "as ann: " is run by ann.
func (s toolScript) run(t *testing.T, b *toolbox, file string) []ran {
	t.Helper()
	script, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	var list []ran
	again := again{}
	members := map[string]interface{ leave() }{}
	for line := range strings.Lines(string(script)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if name, text, ok := strings.Cut(line, " := "); ok { // a file
			if err := os.WriteFile(filepath.Join(dir, name), []byte(strings.ReplaceAll(text, `\n`, "\n")), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if group, ok := strings.CutPrefix(line, "streams join "); ok {
			members[group] = joinStreams(t, s.seed, group, "flow")
			continue
		}
		if group, ok := strings.CutPrefix(line, "share join "); ok {
			members[group] = joinShare(t, s.seed, group, "work", 2)
			continue
		}
		if words := strings.Fields(line); len(words) == 3 && words[1] == "leave" {
			members[words[2]].leave()
			continue
		}
		command := again.name(line)
		own, ofUser := strings.CutPrefix(line, "as "+user+": ")
		if !ofUser {
			printed := runTool(t, b, dir, line, "--bootstrap-server", s.seed)
			for begun := time.Now(); s.settled != nil && strings.Contains(line, " --describe") && !s.settled(command, printed) && time.Since(begun) < 10*time.Second; {
				printed = runTool(t, b, dir, line, "--bootstrap-server", s.seed)
			}
			list = append(list, ran{command, printed})
			continue
		}
		var printed string
		waittest.UntilNil(t, time.Minute, command, func() error {
			printed = runTool(t, b, dir, own, "--bootstrap-server", s.users, "--command-config", userProperties(t, dir))
			if s.settled != nil && !s.settled(command, printed) {
				return fmt.Errorf("it prints\n%s", printed)
			}
			return nil
		})
		list = append(list, ran{command, printed})
	}
	return list
}

// runTool runs a line of a script, and returns what is printed, masked.
func runTool(t *testing.T, b *toolbox, dir, line string, server ...string) string {
	t.Helper()
	command, stdin, _ := strings.Cut(line, " < ")
	words := strings.Fields(strings.NewReplacer("{dir}", dir).Replace(command))
	args := slices.Concat(words[1:], server)
	switch words[0] { // whose option stands before the command
	case "kafka-transactions", "kafka-metadata-quorum", "kafka-features":
		args = slices.Concat(server, words[1:])
	}
	a := b.run(t, words[0], strings.ReplaceAll(stdin, `\n`, "\n"), args...)
	printed := mask(strings.NewReplacer(dir, "{dir}", server[1], "{seed}").Replace(a.out))
	if a.status != 0 && a.out == "" {
		printed = mask(strings.ReplaceAll(firstLines(a.errors, 2), dir, "{dir}"))
	}
	if a.status != 0 {
		printed += fmt.Sprintf("exit status %d\n", a.status)
	}
	if strings.Contains(words[0], "perf-test") || strings.Contains(words[0], "latency") {
		printed = numbers.ReplaceAllString(printed, "{n}")
	}
	return printed
}

// userProperties is a file with which a tool says that its user is ann.
func userProperties(t *testing.T, dir string) string {
	t.Helper()
	file := filepath.Join(dir, user+".properties")
	text := "security.protocol=SASL_PLAINTEXT\nsasl.mechanism=PLAIN\n" +
		"sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required username=\"" + user + "\" password=\"" + password + "\";\n"
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// writeGolden writes what parseGolden reads.
func writeGolden(t *testing.T, file string, list []ran) {
	t.Helper()
	var b strings.Builder
	for _, c := range list {
		command, _, _ := strings.Cut(c.command, " # ")
		fmt.Fprintf(&b, "$ %s\n%s", command, c.printed)
	}
	if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

func firstLines(s string, n int) string {
	lines := strings.SplitAfter(s, "\n")
	return strings.Join(lines[:min(n, len(lines))], "")
}

var numbers = regexp.MustCompile(`\d+(\.\d+)?`)

var masks = []struct {
	pattern *regexp.Regexp
	with    string
}{
	{regexp.MustCompile(`\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d[.,:]\d{3}Z?`), "{date}"},
	{regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`), "{uuid}"},
	{regexp.MustCompile(`([Tt]opicId: ?|Cluster ID: |ClusterId: +)[A-Za-z0-9_-]{22}`), "${1}{id}"},
	{regexp.MustCompile(`"id": \d+, "directoryId": "[A-Za-z0-9_-]{22}"`), `"id": 1, "directoryId": "{id}"`},
	{regexp.MustCompile(`\b1[6-9]\d{11}\b`), "{millis}"},
	{regexp.MustCompile(`127\.0\.0\.1:\d+`), "{address}"},
	{regexp.MustCompile(`"(size|offsetLag|totalBytes|usableBytes)":-?\d+`), `"$1":{n}`},
	{regexp.MustCompile(`"logDir":"[^"]*"`), `"logDir":"{dir}"`},
	{regexp.MustCompile(`"(partition|avg_throughput)":[0-9.]+`), `"$1":{n}`},
	{regexp.MustCompile(`(perf-producer-client|console-consumer|consumer-[a-z]+-\d+)[-0-9a-f{}uid]*`), "$1"},
	{regexp.MustCompile(`adminclient-\d+`), "adminclient-{n}"},
	{regexp.MustCompile(`"log_dirs":\["[^"]*"\]`), `"log_dirs":["{dir}"]`},
	{regexp.MustCompile(`127\.0\.0\.1 +\d+`), "{address}"},
	{regexp.MustCompile(`(HighWatermark|LeaderEpoch|Epoch|MaxFollowerLag|MaxFollowerLagTimeMs):\s+\d+`), "$1: {n}"},
	{regexp.MustCompile(`(?m)^1\s+[A-Za-z0-9_-]{22}\s+\d+\s`), "1 {id} {n} "},
	// How many epochs a streams group has had depends on which heartbeat finds its internal topics made.
	{regexp.MustCompile(`(?m)^(sg\s+)\d+(\s+\d+\s+member-1\s+streams\s+)\d+`), "${1}{n}${2}{n}"},
	{regexp.MustCompile(`(?m)^(sg\s.*\sEmpty\s+)\d+\s+\d+`), "${1}{n} {n}"},
	{regexp.MustCompile(`(?m)^(\s+at |Caused by: ).*\n`), ""}, // a stack
	{regexp.MustCompile(`(ClusterAuthorizationException: ).*`), "${1}{why}"},
	{regexp.MustCompile(`(only supports operations ).*`), "${1}{operations}"}, // in the order of a hash table
	{regexp.MustCompile(`[ \t]+`), " "},
	{regexp.MustCompile(` +(\n|$)`), "$1"},
}

// mask replaces what differs from run to run, and makes one blank of several.
func mask(s string) string {
	for _, m := range masks {
		s = m.pattern.ReplaceAllString(s, m.with)
	}
	return s
}

// parseGolden reads "$ command" and what follows; lines that begin with # are comments.
func parseGolden(t *testing.T, file string) map[string]string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	m, again := map[string]string{}, again{}
	command := ""
	for line := range strings.Lines(string(b)) {
		if c, ok := strings.CutPrefix(line, "$ "); ok {
			command = again.name(strings.TrimSuffix(c, "\n"))
			m[command] = ""
		} else if command != "" && !strings.HasPrefix(line, "# ") {
			m[command] += line
		}
	}
	return m
}

// amended is what Apache Kafka prints with a difference: lines that are not there after "- ", and lines that are there instead after "+ ".
func amended(t *testing.T, command, kafka, difference string) string {
	t.Helper()
	lines := trimmedLines(kafka)
	for _, d := range trimmedLines(difference) {
		if added, ok := strings.CutPrefix(d, "+ "); ok {
			lines = append(lines, added)
			continue
		}
		i := slices.Index(lines, strings.TrimPrefix(d, "- "))
		if i < 0 {
			t.Errorf("testdata/differences.txt: %s: Apache Kafka does not print %q", command, d)
			continue
		}
		lines = slices.Delete(lines, i, i+1)
	}
	return strings.Join(lines, "\n")
}

// sameLines compares without regard to the order of lines, which several tools leave to a hash table.
func sameLines(a, b string) bool {
	x, y := trimmedLines(a), trimmedLines(b)
	slices.Sort(x)
	slices.Sort(y)
	return slices.Equal(x, y)
}

func trimmedLines(s string) []string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return lines
}
