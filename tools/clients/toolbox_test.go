package clients

import (
	"bufio"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ringmq/ringmq/tools/javakit"
)

// toolbox runs Kafka's command line tools in one virtual machine, which starts in a second what else takes a minute.
type toolbox struct {
	kit     *javakit.Kit
	in      *os.File
	answers *bufio.Reader
}

// answer is how a tool ended.
type answer struct {
	status      int
	out, errors string
}

// startToolbox starts the virtual machine. It ends with the test.
func startToolbox(t *testing.T, kit *javakit.Kit) *toolbox {
	t.Helper()
	stdin, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	out, stdout := io.Pipe()
	b := &toolbox{kit: kit, in: in, answers: bufio.NewReaderSize(out, 1<<20)}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, err := kit.Run(ctx, javakit.Command{Main: "Toolbox", Stdin: stdin, Stdout: stdout, HeapMB: 512})
		stdout.CloseWithError(fmt.Errorf("the virtual machine ended: %w", err))
	}()
	t.Cleanup(func() {
		in.Close()
		out.Close()
		cancel()
		<-done
		stdin.Close()
	})
	return b
}

// run runs a tool by the name of its script.
func (b *toolbox) run(t *testing.T, tool, stdin string, args ...string) answer {
	t.Helper()
	main, err := javakit.Main(tool)
	if err != nil {
		t.Fatal(err)
	}
	var line []string
	for _, word := range append([]string{main, stdin}, args...) {
		line = append(line, base64.StdEncoding.EncodeToString([]byte(word)))
	}
	if _, err := fmt.Fprintln(b.in, strings.Join(line, " ")); err != nil {
		t.Fatalf("%s: %v", tool, err)
	}
	type read struct {
		text string
		err  error
	}
	got := make(chan read, 1)
	go func() {
		text, err := b.answers.ReadString('\n')
		got <- read{text, err}
	}()
	select {
	case r := <-got:
		if r.err != nil {
			t.Fatalf("%s %v: %v", tool, args, r.err)
		}
		words := strings.SplitN(strings.TrimSuffix(r.text, "\n"), " ", 3)
		var a answer
		if _, err := fmt.Sscan(words[0], &a.status); err != nil || len(words) != 3 {
			t.Fatalf("%s %v: the answer is %q", tool, args, r.text)
		}
		for i, into := range []*string{&a.out, &a.errors} {
			text, err := base64.StdEncoding.DecodeString(words[i+1])
			if err != nil {
				t.Fatal(err)
			}
			*into = string(text)
		}
		return a
	case <-time.After(3 * time.Minute):
		t.Fatalf("%s %v does not end", tool, args)
		return answer{}
	}
}
