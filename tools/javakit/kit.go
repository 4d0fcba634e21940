package javakit

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// KafkaVersion is the version of the tools and of the broker, as pom.xml names it.
const KafkaVersion = "4.3.1"

// OldKafkaVersion is the last release before version 4, whose clients are still everywhere.
const OldKafkaVersion = "3.9.2"

// minJava is what Kafka 4's tools and broker need.
const minJava = 17

// What may be missing on a machine.
var (
	ErrNoJava    = errors.New("javakit: no Java")              // no runtime, or one that is too old
	ErrNoMaven   = errors.New("javakit: no Maven")             // the class path is not cached, and nothing can resolve it
	ErrUnresolve = errors.New("javakit: artifacts unresolved") // Maven failed, for example without a network
)

//go:embed pom.xml
var pom []byte

//go:embed apps.xml
var appsPOM []byte

//go:embed log4j2.properties
var log4j []byte

// Set is a list of artifacts that come together on a class path.
type Set struct {
	name    string // of the cached files
	version string // of Kafka
	pom     []byte
}

// The sets that there are. ToolSet is the smallest; the others are resolved only when a test asks for them.
var (
	ToolSet   = Set{name: KafkaVersion, version: KafkaVersion, pom: pom}                     // command line tools and the broker
	AppSet    = Set{name: "apps-" + KafkaVersion, version: KafkaVersion, pom: appsPOM}       // these, and Streams, Connect and MirrorMaker
	OldAppSet = Set{name: "apps-" + OldKafkaVersion, version: OldKafkaVersion, pom: appsPOM} // the same of OldKafkaVersion
)

// Kit knows how to start Java with Kafka on its class path.
type Kit struct {
	Java      string // path of the java program
	ClassPath string
	logConfig string // path of the log4j2 configuration
	Version   string // of Kafka
}

// CacheDir is where resolved class paths are kept: $RINGMQ_CACHE/java, else ~/.cache/ringmq/java.
func CacheDir() (string, error) {
	if dir := os.Getenv("RINGMQ_CACHE"); dir != "" {
		return filepath.Join(dir, "java"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("javakit: %w", err)
	}
	return filepath.Join(home, ".cache", "ringmq", "java"), nil
}

// Open is OpenSet of ToolSet.
func Open(ctx context.Context) (*Kit, error) { return OpenSet(ctx, ToolSet) }

// OpenSet finds Java and the class path of a set, resolving it when it is not cached. The error wraps ErrNoJava, ErrNoMaven or ErrUnresolve.
func OpenSet(ctx context.Context, set Set) (*Kit, error) {
	java, err := findJava(ctx)
	if err != nil {
		return nil, err
	}
	dir, err := CacheDir()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("javakit: %w", err)
	}
	unlock, err := lock(ctx, filepath.Join(dir, "lock"))
	if err != nil {
		return nil, err
	}
	defer unlock()
	sum := sha256.Sum256(append(append([]byte(nil), set.pom...), log4j...))
	base := filepath.Join(dir, set.name+"-"+hex.EncodeToString(sum[:6]))
	k := &Kit{Java: java, logConfig: base + ".log4j2.properties", Version: set.version}
	if cp, ok := cached(base + ".cp"); ok {
		k.ClassPath = cp
		return k, nil
	}
	if k.ClassPath, err = resolve(ctx, set, base); err != nil {
		return nil, err
	}
	if err := os.WriteFile(k.logConfig, log4j, 0o644); err != nil {
		return nil, fmt.Errorf("javakit: %w", err)
	}
	// The class path comes last: where it is, everything is.
	if err := os.WriteFile(base+".cp.tmp", []byte(k.ClassPath), 0o644); err != nil {
		return nil, fmt.Errorf("javakit: %w", err)
	}
	if err := os.Rename(base+".cp.tmp", base+".cp"); err != nil {
		return nil, fmt.Errorf("javakit: %w", err)
	}
	return k, nil
}

// ForTest is ForTestOf of ToolSet.
func ForTest(t testing.TB) *Kit {
	t.Helper()
	return ForTestOf(t, ToolSet)
}

// ForTestOf opens the kit of a set. Without Java or the artifacts it skips the test, or fails it when CI=true.
func ForTestOf(t testing.TB, set Set) *Kit {
	t.Helper()
	if testing.Short() {
		t.Skip("SKIPPED by -short: what uses Kafka's Java tools, which take seconds to start")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	k, err := OpenSet(ctx, set)
	if err == nil {
		return k
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("%v (with CI=true Java tests are not skipped)", err)
	}
	t.Skipf("SKIPPED: what uses Kafka's Java tools: %v", err)
	return nil
}

var javaVersion = regexp.MustCompile(`version "(\d+)(?:\.(\d+))?`)

// findJava looks in JAVA_HOME, then in PATH.
func findJava(ctx context.Context) (string, error) {
	path := "java"
	if home := os.Getenv("JAVA_HOME"); home != "" {
		path = filepath.Join(home, "bin", "java")
	}
	path, err := exec.LookPath(path)
	if err != nil {
		return "", fmt.Errorf("%w: install a Java runtime, version %d or newer (%w)", ErrNoJava, minJava, err)
	}
	out, err := exec.CommandContext(ctx, path, "-version").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s -version: %w: %s", ErrNoJava, path, err, firstLine(out))
	}
	m := javaVersion.FindSubmatch(out)
	if m == nil {
		return "", fmt.Errorf("%w: cannot tell the version of %s: %s", ErrNoJava, path, firstLine(out))
	}
	if v, _ := strconv.Atoi(string(m[1])); v < minJava {
		return "", fmt.Errorf("%w: %s is version %s, need %d or newer", ErrNoJava, path, m[1], minJava)
	}
	return path, nil
}

// cached reads a class path and checks that every archive in it still exists.
func cached(file string) (string, bool) {
	b, err := os.ReadFile(file)
	if err != nil || len(b) == 0 {
		return "", false
	}
	cp := string(b)
	for jar := range strings.SplitSeq(cp, ":") {
		if _, err := os.Stat(jar); err != nil {
			return "", false
		}
	}
	return cp, true
}

// resolve has Maven download the artifacts and write the class path.
func resolve(ctx context.Context, set Set, base string) (string, error) {
	mvn, err := exec.LookPath("mvn")
	if err != nil {
		return "", fmt.Errorf("%w: install Maven; it is needed once, to fetch Kafka's Java tools (%w)", ErrNoMaven, err)
	}
	dir, err := os.MkdirTemp("", "javakit")
	if err != nil {
		return "", fmt.Errorf("javakit: %w", err)
	}
	defer os.RemoveAll(dir)
	file, out := filepath.Join(dir, "pom.xml"), filepath.Join(dir, "cp")
	if err := os.WriteFile(file, set.pom, 0o644); err != nil {
		return "", fmt.Errorf("javakit: %w", err)
	}
	cmd := exec.CommandContext(ctx, mvn, "-q", "-B", "-f", file, "-Dkafka.version="+set.version, "dependency:build-classpath", "-Dmdep.includeScope=runtime", "-Dmdep.outputFile="+out)
	if text, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: mvn: %w: %s", ErrUnresolve, err, firstLine(text))
	}
	cp, ok := cached(out)
	if !ok {
		return "", fmt.Errorf("%w: mvn wrote no usable class path for %s", ErrUnresolve, filepath.Base(base))
	}
	return strings.TrimSpace(cp), nil
}

// lock takes an exclusive file lock, waiting for whoever holds it.
func lock(ctx context.Context, path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("javakit: %w", err)
	}
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			f.Close()
			return nil, fmt.Errorf("javakit: lock %s: %w", path, err)
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, fmt.Errorf("javakit: lock %s: %w", path, ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func firstLine(b []byte) string {
	s, _, _ := strings.Cut(strings.TrimSpace(string(b)), "\n")
	if len(s) > 300 {
		s = s[:300]
	}
	return s
}
