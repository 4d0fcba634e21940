package e2e

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/ringmq/ringmq/tools/javakit"
)

// page runs the commands of a page against a cluster and compares what they print.
type page struct {
	*cluster
	url     string // that was printed last
	printed string // by the last command
}

// TestWalkthroughPage: the commands of tools/WALKTHROUGH.md do what the page says, in its order.
func TestWalkthroughPage(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED by -short: the commands of tools/WALKTHROUGH.md, which run a cluster")
	}
	kit := javakit.ForTest(t)
	text, err := os.ReadFile("../WALKTHROUGH.md")
	if err != nil {
		t.Fatal(err)
	}
	p := &page{cluster: newCluster(t, true)}
	kafkatool := filepath.Join(p.dir, "bin", "kafkatool")
	if out, err := exec.Command("go", "build", "-o", kafkatool, "../javakit/kafkatool").CombinedOutput(); err != nil {
		t.Fatalf("build kafkatool: %v\n%s", err, out)
	}
	blocks := pageBlocks.FindAllStringSubmatch(string(text), -1)
	if len(blocks) < 10 {
		t.Fatalf("the page has %d blocks", len(blocks))
	}
	for _, b := range blocks {
		switch kind, body, marker := b[1], b[2], b[3]; {
		case marker != "":
			p.obey(marker)
		case kind == "sh" || kind == "sh fails":
			p.run(body, kind == "sh fails")
		case kind == "text":
			p.compare(body)
		default:
			t.Fatalf("a block of kind %q", kind)
		}
	}
	p.secretsStay(tools{t, kit, p.addr(4, 9092)}, slices.Sorted(maps.Keys(p.nodes)))
}

// pageBlocks finds blocks of code and orders to the test.
var pageBlocks = regexp.MustCompile("(?s)```([a-z ]*)\n(.*?)```|<!-- test: ([^>]*) -->")

// obey does what the page asks its reader to do on other hosts.
func (p *page) obey(order string) {
	p.Helper()
	var id int
	if order == "start what was printed" {
		p.startAll(p.printed)
	} else if _, err := fmt.Sscanf(order, "start node %d", &id); err == nil {
		for _, command := range startCommand.FindAllString(p.printed, -1) {
			if nodeID.FindStringSubmatch(command)[1] == fmt.Sprint(id) {
				p.start(id, command)
			}
		}
		p.ready(id)
	} else if _, err := fmt.Sscanf(order, "stop node %d", &id); err == nil {
		p.stop(id)
	} else {
		p.Fatalf("unknown order %q", order)
	}
}

// here puts what exists in the place of the page's addresses, keys and paths.
func (p *page) here(s string) string {
	s = strings.ReplaceAll(s, "10.0.0.9:9000", p.minio.Host())
	s = strings.ReplaceAll(s, "10.0.0.", p.net+".")
	s = strings.ReplaceAll(s, "=ringmq ", "="+p.minio.AccessKey+" ")
	s = strings.ReplaceAll(s, "'S3CRET=/key'", quote(p.minio.SecretKey))
	return strings.ReplaceAll(s, "/etc/ringmq/authority.pem", p.minio.CAFile)
}

// pageURL is an s3-url between quotation marks.
var pageURL = regexp.MustCompile(`"s3://[^"]*"`)

func (p *page) run(body string, fails bool) {
	p.Helper()
	line := p.here(strings.TrimSpace(body))
	if strings.Contains(line, " generate-start-command ") {
		line = pageURL.ReplaceAllLiteralString(line, `"`+p.url+`"`) + " --override s3.wal.capacity=67108864 --data-dir=" + filepath.Join(p.dir, "data")
	}
	out, err := p.try(line)
	if (err != nil) != fails {
		p.Fatalf("%s: %v\n%s", line, err, out)
	}
	p.printed = out
	if _, after, ok := strings.Cut(out, "Your s3url is:\n\n"); ok {
		p.url, _, _ = strings.Cut(after, "\n")
	}
}

// compare looks for the lines of the page, in order, in what was printed.
func (p *page) compare(body string) {
	p.Helper()
	rest := strings.Split(p.printed, "\n")
	for want := range strings.Lines(body) {
		pattern := p.pattern(strings.TrimSuffix(want, "\n"))
		found := -1
		for i, line := range rest {
			if pattern.MatchString(line) {
				found = i
				break
			}
		}
		if found < 0 {
			p.Fatalf("not printed in its place:\n%s\npattern %s, printed:\n%s", want, pattern, p.printed)
		}
		rest = rest[found+1:]
	}
}

var (
	pageID      = regexp.MustCompile(`(cluster-id=|TopicId: )[A-Za-z0-9_-]{22}`)
	pageNumber  = regexp.MustCompile(`\d+`)
	pageColumns = regexp.MustCompile(` {2,}`)
)

// pattern makes a regular expression of a line of the page: ids, keys, paths and times become what they may be, and ... stands for anything.
func (p *page) pattern(line string) *regexp.Regexp {
	const id, number, any = "\x00", "\x01", "\x02"
	line = p.here(line)
	line = strings.ReplaceAll(line, "s3-access-key=ringmq&s3-secret-key=S3CRET%3D/key", "s3-access-key="+any+"&s3-secret-key="+any)
	line = strings.ReplaceAll(line, "...", any)
	line = strings.ReplaceAll(line, "/var/lib/ringmq/", filepath.Join(p.dir, "data")+"/")
	if strings.Contains(line, "bin/kafka-server-start.sh") {
		line += any // what the test adds
	}
	line = pageID.ReplaceAllString(line, "${1}"+id)
	if !strings.Contains(line, "://") && !strings.Contains(line, p.net) && !strings.Contains(line, "Partition: ") { // where numbers must be right
		line = pageNumber.ReplaceAllString(line, number)
	}
	line = pageColumns.ReplaceAllString(regexp.QuoteMeta(line), " +") // as wide as what stands in them
	line = strings.NewReplacer(id, `[A-Za-z0-9_-]{22}`, number, `\d+`, any, `.*`).Replace(line)
	return regexp.MustCompile("^" + line + "$")
}
