package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ringmq/ringmq/engine/config"
)

const awkwardSecret = "x&y%z =$HOME`id`\"'\\!;#,+/="

func TestS3URLRoundTrip(t *testing.T) {
	f := s3URLFlags{accessKey: "a+b/c=", secretKey: awkwardSecret, region: "r", protocol: "http", endpoint: "h:1", dataBucket: "d", caFile: "/etc/my authority.pem"}
	u, err := f.url()
	if err != nil {
		t.Fatal(err)
	}
	// Between double quotes a shell takes the URL as it is.
	out, err := exec.Command("sh", "-c", `printf %s "`+u.Text()+`"`).Output()
	if err != nil || string(out) != u.Text() {
		t.Fatalf("the shell makes %s of %s: %v", out, u.Text(), err)
	}
	if again, err := config.ParseS3URL(u.Text()); err != nil || again != u {
		t.Fatalf("%+v, %v", again, err)
	}
	if strings.Contains(u.String(), "a%2Bb") || strings.Contains(u.String(), "x%26y") {
		t.Fatalf("String shows keys: %s", u)
	}
	_, _, stderr, cfg := run(t, "ringmq", "server", "start", "--s3-url="+u.Text(), "--override=log.dirs="+t.TempDir())
	if cfg == nil || cfg.DataBuckets[0].AccessKey != f.accessKey || cfg.DataBuckets[0].SecretKey != f.secretKey || cfg.OpsBuckets[0].CAFile != f.caFile {
		t.Fatalf("%s: %s", u.Text(), stderr)
	}
}

// commands are the start commands among what generate-start-command prints.
func commands(stdout string) (out []string) {
	for line := range strings.Lines(stdout) {
		if strings.HasPrefix(line, "bin/kafka-server-start.sh") {
			out = append(out, strings.TrimSpace(line))
		}
	}
	return out
}

// startWithShell has a shell take a start command apart, and starts what it makes of it. The data directory becomes one of the test.
func startWithShell(t *testing.T, command string) *config.Config {
	t.Helper()
	out, err := exec.Command("sh", "-c", "for_each() { for a; do printf '%s\\n' \"$a\"; done; }; for_each "+command).Output()
	if err != nil {
		t.Fatal(err)
	}
	argv := strings.Split(strings.TrimSpace(string(out)), "\n")
	code, _, stderr, cfg := run(t, append(argv, "--override", "log.dirs="+t.TempDir())...)
	if code != 0 {
		t.Fatalf("%s does not start: %s", command, stderr)
	}
	return cfg
}

func TestStartCommands(t *testing.T) {
	const url = "s3://h:9000?s3-data-bucket=d&s3-access-key=AK&s3-secret-key=S=K&cluster-id=c"
	generate := func(t *testing.T, flags ...string) []string {
		t.Helper()
		code, stdout, stderr, _ := run(t, append([]string{"automq-kafka-admin.sh", "generate-start-command"}, flags...)...)
		if code != 0 {
			t.Fatal(stderr)
		}
		if !strings.HasPrefix(stdout, "############  Start Commandline ##############\n") || !strings.Contains(stdout, "\n\nTIPS: Start controllers first and then the brokers.\n") {
			t.Errorf("head or tip missing: %s", stdout)
		}
		return commands(stdout)
	}
	t.Run("combined", func(t *testing.T) {
		got := generate(t, "--s3-url="+url, "--controller-list=h1:9093;h2:9093;h3:9093", "--broker-list=h1:9192;h4:9092")
		if len(got) != 4 {
			t.Fatalf("%d commands: %s", len(got), strings.Join(got, "\n"))
		}
		const head = `bin/kafka-server-start.sh --s3-url="s3://h:9000?s3-access-key=AK&s3-secret-key=S%3DK&s3-region=us-east-1&s3-endpoint-protocol=https&s3-data-bucket=d&s3-ops-bucket=d&cluster-id=c"`
		const quorum = " --override controller.quorum.voters=0@h1:9093,1@h2:9093,2@h3:9093"
		for i, want := range map[int]string{
			0: head + " --override process.roles=broker,controller --override node.id=0" + quorum + " --override listeners=PLAINTEXT://h1:9192,CONTROLLER://h1:9093 --override advertised.listeners=PLAINTEXT://h1:9192 --override log.dirs=/var/lib/ringmq/node-0",
			2: head + " --override process.roles=broker,controller --override node.id=2" + quorum + " --override listeners=PLAINTEXT://h3:9092,CONTROLLER://h3:9093 --override advertised.listeners=PLAINTEXT://h3:9092 --override log.dirs=/var/lib/ringmq/node-2",
			3: head + " --override process.roles=broker --override node.id=3" + quorum + " --override listeners=PLAINTEXT://h4:9092 --override advertised.listeners=PLAINTEXT://h4:9092 --override log.dirs=/var/lib/ringmq/node-3",
		} {
			if got[i] != want {
				t.Errorf("command %d is\n%s\nwant\n%s", i, got[i], want)
			}
		}
		for i, c := range got {
			if cfg := startWithShell(t, c); cfg.NodeID != int32(i) || cfg.DataBuckets[0].SecretKey != "S=K" || cfg.Controller != (i < 3) || !cfg.Broker {
				t.Errorf("command %d: %v", i, cfg)
			}
		}
	})
	t.Run("dedicated", func(t *testing.T) {
		got := generate(t, "--s3-url="+url, "--controller-list=h1:9093;h1:9094;h1:9095", "--broker-list=h1:9092", "--controller-only-mode=true", "--network-baseline-bandwidth-mb=100",
			"--data-dir=/srv/it's mine", "--override=num.partitions=3")
		if len(got) != 4 {
			t.Fatalf("%d commands: %s", len(got), strings.Join(got, "\n"))
		}
		for i, c := range got {
			if !strings.Contains(c, ` --override 'log.dirs=/srv/it'\''s mine/node-`) {
				t.Errorf("command %d: %s", i, c)
			}
			if cfg := startWithShell(t, c); cfg.Controller != (i < 3) || cfg.Broker != (i == 3) || cfg.Topics.NumPartitions != 3 || cfg.S3.NetworkBandwidthBytesPerSecond != 100<<20 {
				t.Errorf("command %d: %v", i, cfg)
			}
		}
	})
	t.Run("new cluster id", func(t *testing.T) {
		got := generate(t, "--s3-url=s3://h:9000?s3-data-bucket=d&s3-access-key=AK&s3-secret-key=SK", "--controller-list=h1:9093", "--broker-list=h4:9092")
		if a, b := startWithShell(t, got[0]), startWithShell(t, got[1]); a.ClusterID != b.ClusterID || len(a.ClusterID) != 22 {
			t.Errorf("cluster ids %q and %q", a.ClusterID, b.ClusterID)
		}
	})
	t.Run("no keys", func(t *testing.T) {
		_, stdout, _, _ := run(t, "automq-kafka-admin.sh", "generate-start-command", "--s3-url=s3://h:9000?s3-data-bucket=d", "--controller-list=h1:9093", "--broker-list=h4:9092")
		if !strings.Contains(stdout, "TIPS: The url holds no keys") || strings.Contains(stdout, "key=") {
			t.Error(stdout)
		}
	})
}

// TestPropertyFiles: what is written starts as it is, the secret is only in the file for it, and nobody else may read that.
func TestPropertyFiles(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	u, err := s3URLFlags{accessKey: "AKIA", secretKey: awkwardSecret, region: "r", endpoint: "http://h:9000", dataBucket: "d", opsBucket: "o"}.url()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(credentialsName, []byte("old, and readable by all"), 0o644); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr, _ := run(t, "automq-kafka-admin.sh", "generate-configuration-properties", "--s3-url="+u.Text(), "--controller-list=h1:9093;h2:9093;h3:9093", "--broker-list=h1:9092;h4:9092",
		"--controller-only-mode=true", "--data-dir="+dir+"/data", "--override=s3.wal.capacity=67108864")
	const want = "s3.credentials\ncontroller-0.properties\ncontroller-1.properties\ncontroller-2.properties\nbroker-3.properties\nbroker-4.properties\nTIPS: "
	if code != 0 || !strings.HasPrefix(stdout, want) {
		t.Fatalf("%d %s%s", code, stdout, stderr)
	}
	if info, err := os.Stat(credentialsName); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%s: %v, %v", credentialsName, info.Mode(), err)
	}
	files, _ := filepath.Glob("*.properties")
	if len(files) != 5 {
		t.Errorf("files: %v", files)
	}
	t.Chdir("/") // a file names the keys' file beside it
	for _, name := range files {
		name = filepath.Join(dir, name)
		text, _ := os.ReadFile(name)
		if strings.Contains(string(text), "AKIA") || strings.Contains(string(text), "HOME") {
			t.Errorf("%s holds keys:\n%s", name, text)
		}
		code, _, stderr, cfg := run(t, "bin/kafka-server-start.sh", name)
		if code != 0 || cfg.ClusterID != u.ClusterID || cfg.DataBuckets[0].CredentialsFile != filepath.Join(dir, credentialsName) || strings.Contains(stderr, "WARN") {
			t.Errorf("%s does not start as generated: %s", name, stderr)
		}
	}
	// Keys of the environment are not written.
	t.Chdir(t.TempDir())
	code, stdout, stderr, _ = run(t, "automq-kafka-admin.sh", "generate-configuration-properties", "--s3-url=s3://h:9000?s3-data-bucket=d", "--controller-list=h1:9093", "--broker-list=h4:9092", "--data-dir="+t.TempDir())
	if code != 0 || !strings.HasPrefix(stdout, "server-0.properties\nbroker-1.properties\n") || !strings.Contains(stdout, "TIPS: The url holds no keys") {
		t.Fatalf("%d %s%s", code, stdout, stderr)
	}
	for _, name := range []string{"server-0.properties", "broker-1.properties"} {
		code, _, stderr, cfg := runIn(t, map[string]string{"KAFKA_S3_ACCESS_KEY": "A", "KAFKA_S3_SECRET_KEY": "S"}, "kafka-server-start.sh", name)
		if code != 0 || cfg.DataBuckets[0].SecretKey != "S" {
			t.Errorf("%s: %s", name, stderr)
		}
	}
}
