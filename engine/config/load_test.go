package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestEmbeddedDefault(t *testing.T) {
	c, warnings, err := loadQuiet(Source{})
	if err != nil {
		t.Fatal(err)
	}
	if !c.Embedded || !c.Broker || !c.Controller || c.NodeID != 1 || c.ClusterID != "" {
		t.Errorf("identity: %v", c)
	}
	if got := fmt.Sprint(c.Listeners); got != "[PLAINTEXT://:9092 CONTROLLER://127.0.0.1:9093]" {
		t.Errorf("listeners %s", got)
	}
	if got := fmt.Sprintf("%v %s %v", c.AdvertisedListeners, c.InterBrokerListenerName, c.Voters); got != "[PLAINTEXT://localhost:9092] PLAINTEXT map[1:127.0.0.1:9093]" {
		t.Errorf("advertised %s", got)
	}
	if got := fmt.Sprint(c.DataBuckets, c.WAL); got != "[0@file:///tmp/kafka-logs/objects] 0@file:///tmp/kafka-logs/wal?capacity=268435456&iodepth=2" {
		t.Errorf("storage %s", got)
	}
	if len(warnings) != 1 || warnings[0].Key != "log.dirs" {
		t.Errorf("warnings %v", warnings)
	}
	if c.S3.WALCacheBytes != 8<<30/96 || c.S3.BlockCacheBytes != 8<<30/192 || c.S3.UploadThresholdBytes != 8<<30/96/3 || c.S3.UploadInterval != time.Minute {
		t.Errorf("sizes %+v", c.S3)
	}
	for key, want := range map[string]string{"process.roles": "broker,controller", "node.id": "1", "broker.id": "1", "listeners": "PLAINTEXT://:9092,CONTROLLER://127.0.0.1:9093",
		"advertised.listeners": "PLAINTEXT://localhost:9092", "log.retention.hours": "168", "s3.data.buckets": "0@file:///tmp/kafka-logs/objects"} {
		if v, origin, def, ok := c.Lookup(key); v != want || origin != OriginDefault || def.Name != key || !ok || c.IsNull(key) {
			t.Errorf("%s: %q %v %v", key, v, origin, ok)
		}
	}
	if _, _, _, ok := c.Lookup("no.such.key"); ok || !c.IsNull("log.retention.ms") {
		t.Error("null or unknown keys")
	}
}

func TestEmbeddedWithOtherListener(t *testing.T) {
	c := load(t, Source{Overrides: []string{"listeners=PLAINTEXT://:19092", "node.id=5"}})
	if got := fmt.Sprint(c.Listeners, c.AdvertisedListeners, c.Voters); got != "[PLAINTEXT://:19092 CONTROLLER://127.0.0.1:0] [PLAINTEXT://this-host:19092] map[5:127.0.0.1:0]" {
		t.Error(got)
	}
}

// TestStockKafkaFile: the server.properties that comes with Kafka starts a node as it is.
func TestStockKafkaFile(t *testing.T) {
	file := write(t, `
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=localhost:9093
listeners=PLAINTEXT://:9092,CONTROLLER://:9093
inter.broker.listener.name=PLAINTEXT
advertised.listeners=PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL
num.network.threads=3
num.io.threads=8
socket.send.buffer.bytes=102400
socket.receive.buffer.bytes=102400
socket.request.max.bytes=104857600
log.dirs=/tmp/kraft-combined-logs
num.partitions=1
num.recovery.threads.per.data.dir=1
offsets.topic.replication.factor=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
#log.flush.interval.messages=10000
log.retention.hours=168
#log.retention.bytes=1073741824
log.segment.bytes=1073741824
log.retention.check.interval.ms=300000
`)
	c, warnings, err := loadQuiet(Source{File: file})
	if err != nil || len(warnings) != 0 {
		t.Fatal(err, warnings)
	}
	if fmt.Sprint(c.Voters, c.AdvertisedListeners) != "map[1:localhost:9093] [PLAINTEXT://localhost:9092]" || c.Offsets.TopicReplicationFactor != 1 {
		t.Errorf("%v %v", c.Voters, c.AdvertisedListeners)
	}
	if n := c.Network; n.NetworkThreads != 3 || n.SendBufferBytes != 102400 || n.ReceiveBufferBytes != 102400 || n.ListenBacklog != 0 {
		t.Errorf("%+v: what the file sets counts, what it does not is left to the system", n)
	}
}

// TestBetterThanDefault: Kafka's default of these keys is shown, and does not count; -1 is the system's choice as well.
func TestBetterThanDefault(t *testing.T) {
	c := load(t, Source{Overrides: []string{"node.id=1", "socket.send.buffer.bytes=-1"}})
	if n := c.Network; n.NetworkThreads != 0 || n.SendBufferBytes != 0 || n.ReceiveBufferBytes != 0 || n.ListenBacklog != 0 {
		t.Errorf("%+v, want the system's choice", n)
	}
}

// TestSeedCommands: the nodes that AutoMQ's generate-start-command prints.
func TestSeedCommands(t *testing.T) {
	const url = "s3://127.0.0.1:9100?s3-access-key=AK&s3-secret-key=SK&s3-region=us-east-1&s3-endpoint-protocol=http&s3-data-bucket=automq&s3-path-style=true&s3-ops-bucket=ops&cluster-id=tlqI-G6cRxmM4uQcjodQ0Q"
	const voters = "controller.quorum.voters=0@h1:9093,1@h2:9093,2@h3:9093"
	tests := []struct {
		name      string
		overrides []string
		want      string
	}{
		{"combined", []string{"process.roles=broker,controller", "node.id=0", voters, "listeners=PLAINTEXT://h1:9092,CONTROLLER://h1:9093", "advertised.listeners=PLAINTEXT://h1:9092"},
			"0 true true [PLAINTEXT://h1:9092 CONTROLLER://h1:9093] [PLAINTEXT://h1:9092]"},
		{"controller only", []string{"process.roles=controller", "node.id=0", voters, "listeners=CONTROLLER://h1:9093"}, "0 false true [CONTROLLER://h1:9093] []"},
		{"broker", []string{"process.roles=broker", "node.id=3", voters, "listeners=PLAINTEXT://h4:9092", "advertised.listeners=PLAINTEXT://h4:9092"}, "3 true false [PLAINTEXT://h4:9092] [PLAINTEXT://h4:9092]"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := load(t, Source{S3URL: url, Overrides: tt.overrides})
			if got := fmt.Sprint(c.NodeID, c.Broker, c.Controller, c.Listeners, c.AdvertisedListeners); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			if c.ClusterID != "tlqI-G6cRxmM4uQcjodQ0Q" || c.DataBuckets[0].SecretKey != "SK" || c.OpsBuckets[0].Bucket != "ops" || len(c.Voters) != 3 {
				t.Errorf("%s %v %v", c.ClusterID, c.OpsBuckets, c.Voters)
			}
		})
	}
}

func TestPrecedence(t *testing.T) {
	file := write(t, "node.id=1\nnum.partitions=2\nnum.partitions=3\ncluster.id=file\ns3.bucket=old\nlog.dirs=/a,/b\n")
	c, warnings, err := loadQuiet(Source{File: file, S3URL: "s3://h?s3-data-bucket=new&cluster-id=url", Overrides: []string{"num.partitions=4", "num.partitions= 5 ", "log.dir=/c"}})
	if err != nil {
		t.Fatal(err)
	}
	if c.Topics.NumPartitions != 5 || c.ClusterID != "url" || c.DataBuckets[0].Bucket != "new" || len(c.LogDirs) != 2 {
		t.Errorf("%d %s %v %v", c.Topics.NumPartitions, c.ClusterID, c.DataBuckets, c.LogDirs)
	}
	if _, origin, _, _ := c.Lookup("num.partitions"); origin != OriginOverride {
		t.Errorf("origin %v", origin)
	}
	if len(warnings) != 1 || !strings.Contains(warnings[0].String(), "set before on line 2") {
		t.Errorf("warnings %v", warnings)
	}
	c = load(t, Source{S3URL: "s3://h?s3-data-bucket=new&s3-access-key=a&s3-secret-key=b", Overrides: []string{"s3.data.buckets=0@mem://over"}})
	if c.DataBuckets[0].Bucket != "over" || c.OpsBuckets[0].Bucket != "new" || c.OpsBuckets[0].SecretKey != "b" {
		t.Errorf("%v %v", c.DataBuckets, c.OpsBuckets)
	}
}

func TestOlderStorageKeys(t *testing.T) {
	env := map[string]string{"KAFKA_S3_ACCESS_KEY": "a", "KAFKA_S3_SECRET_KEY": "b", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "y"}
	c := load(t, Source{Env: func(k string) string { return env[k] }, Overrides: []string{"s3.endpoint=http://h:9000", "s3.region=r", "s3.bucket=d", "s3.ops.bucket=o", "s3.path.style=true",
		"s3.wal.path=/dev/vdb", "s3.wal.capacity=1073741824", "s3.wal.thread=4", "s3.wal.iops=3000", "s3.wal.upload.interval.ms=-1"}})
	want := []BucketURI{{Scheme: "s3", Bucket: "d", Endpoint: "http://h:9000", Region: "r", PathStyle: PathStyleOn, AccessKey: "a", SecretKey: "b"}}
	if !reflect.DeepEqual(c.DataBuckets, want) {
		t.Errorf("got %v", c.DataBuckets)
	}
	want[0].Bucket = "o"
	if !reflect.DeepEqual(c.OpsBuckets, want) {
		t.Errorf("got %v", c.OpsBuckets)
	}
	if c.WAL != (WALURI{Scheme: "file", Path: "/dev/vdb", CapacityBytes: 1 << 30, IODepth: 4}) || c.S3.UploadInterval != 0 {
		t.Errorf("got %v", c.WAL)
	}
	delete(env, "KAFKA_S3_ACCESS_KEY")
	delete(env, "KAFKA_S3_SECRET_KEY")
	env["AWS_SESSION_TOKEN"] = "z"
	c = load(t, Source{Env: func(k string) string { return env[k] }, Overrides: []string{"s3.data.buckets=0@s3://d"}})
	if b := c.DataBuckets[0]; b.AccessKey != "x" || b.SecretKey != "y" || b.SessionToken != "z" {
		t.Errorf("AWS names: %q %q %q", b.AccessKey, b.SecretKey, b.SessionToken)
	}
}

func TestLoadErrors(t *testing.T) {
	cluster := []string{"process.roles=broker,controller", "node.id=1", "controller.quorum.voters=1@h:9093", "listeners=PLAINTEXT://h:9092,CONTROLLER://h:9093", "log.dirs=/d"}
	with := func(more ...string) []string { return append(append([]string(nil), cluster...), more...) }
	tests := []struct {
		name      string
		overrides []string
		kind      error
		key       string
		text      string
	}{
		{"unknown", []string{"log.retention.hour=1"}, ErrUnknownKey, "log.retention.hour", "did you mean log.retention.hours?"},
		{"unknown, far from everything", []string{"frobnicate=1"}, ErrUnknownKey, "frobnicate", "config keys"},
		{"underscores", []string{"num_partitions=1"}, ErrUnknownKey, "num_partitions", "did you mean num.partitions?"},
		{"topic key", []string{"retention.ms=1"}, ErrUnknownKey, "retention.ms", "log.retention.ms"},
		{"number", []string{"num.partitions=many"}, ErrInvalid, "num.partitions", `num.partitions="many": not a number`},
		{"range", []string{"num.partitions=0"}, ErrInvalid, "num.partitions", "allowed: a number from 1 up"},
		{"int overflow", []string{"num.partitions=3000000000"}, ErrInvalid, "num.partitions", "INT"},
		{"boolean", []string{"auto.create.topics.enable=yes"}, ErrInvalid, "auto.create.topics.enable", "true or false"},
		{"enum", []string{"compression.type=brotli"}, ErrInvalid, "compression.type", "zstd"},
		{"list", []string{"log.cleanup.policy=delete,shred"}, ErrInvalid, "log.cleanup.policy", `"shred"`},
		{"empty directories", []string{"log.dirs="}, ErrInvalid, "log.dirs", `log.dirs="": empty; allowed: at least one directory`},
		{"same directory", []string{"log.dirs=/a,/b/../a"}, ErrInvalid, "log.dirs", "twice"},
		{"override without =", []string{"node.id"}, ErrMissing, "--override", "key=value"},
		{"roles", []string{"process.roles=king"}, ErrInvalid, "process.roles", "broker, controller"},
		{"roles missing", []string{"controller.quorum.voters=1@h:9093"}, ErrMissing, "process.roles", "missing"},
		{"node id missing", []string{"process.roles=broker"}, ErrMissing, "node.id", "missing"},
		{"node ids differ", with("broker.id=2"), ErrInvalid, "broker.id", "node.id=1"},
		{"negative broker id", []string{"broker.id=-1"}, ErrInvalid, "broker.id", "from 0 up"},
		{"voters missing", []string{"process.roles=broker,controller", "node.id=1", "listeners=PLAINTEXT://h:9092,CONTROLLER://h:9093"}, ErrMissing, "controller.quorum.voters", "missing"},
		{"not among the voters", with("controller.quorum.voters=2@h:9093"), ErrInvalid, "controller.quorum.voters", "does not list this node"},
		{"a broker among the voters", with("process.roles=broker", "listeners=PLAINTEXT://h:9092"), ErrInvalid, "controller.quorum.voters", "not a controller"},
		{"voter syntax", with("controller.quorum.voters=1@h"), ErrInvalid, "controller.quorum.voters", "no :port"},
		{"voter twice", with("controller.quorum.voters=1@h:1,1@g:1"), ErrInvalid, "controller.quorum.voters", "twice"},
		{"no controller listener", with("listeners=PLAINTEXT://h:9092"), ErrInvalid, "listeners", "CONTROLLER"},
		{"no client listener", with("listeners=CONTROLLER://h:9093"), ErrInvalid, "listeners", "no listener for clients"},
		{"listener syntax", with("listeners=PLAINTEXT:h:9092"), ErrInvalid, "listeners", "NAME://host:port"},
		{"listener port", with("listeners=PLAINTEXT://h:70000"), ErrInvalid, "listeners", `"70000"`},
		{"listener twice", with("listeners=A://h:1,a://h:2"), ErrInvalid, "listeners", "twice"},
		{"port twice", with("listeners=A://h:1,B://:1"), ErrInvalid, "listeners", "port 1"},
		{"listener without protocol", with("listeners=IN://h:9092,CONTROLLER://h:9093"), ErrInvalid, "listener.security.protocol.map", "IN"},
		{"TLS without a key store", with("listeners=SSL://h:9092,CONTROLLER://h:9093"), ErrMissing, "listener.name.ssl.ssl.keystore.location", "listener SSL has the protocol SSL and needs a key"},
		{"TLS, two keys", with("listeners=SSL://h:9092,CONTROLLER://h:9093", "ssl.keystore.type=PEM", "ssl.keystore.location=/k", "ssl.keystore.key=k", "ssl.keystore.certificate.chain=c"), ErrInvalid, "ssl.keystore.location", "one of the two"},
		{"TLS, half a key", with("listeners=SSL://h:9092,CONTROLLER://h:9093", "ssl.keystore.type=PEM", "ssl.keystore.key=k"), ErrInvalid, "ssl.keystore.certificate.chain", "belong together"},
		{"TLS, password of PEM", with("listeners=SSL://h:9092,CONTROLLER://h:9093", "ssl.keystore.type=PEM", "ssl.keystore.location=/k", "listener.name.ssl.ssl.keystore.password=hidden"), ErrInvalid, "listener.name.ssl.ssl.keystore.password", "ssl.key.password"},
		{"TLS, client authentication without CAs", with("listeners=SSL://h:9092,CONTROLLER://h:9093", "ssl.keystore.location=/k", "listener.name.ssl.ssl.client.auth=required"), ErrMissing, "listener.name.ssl.ssl.truststore.location", "listener.name.ssl.ssl.client.auth=required needs to know which CAs"},
		{"TLS, old version", with("ssl.enabled.protocols=TLSv1.1,TLSv1.2"), ErrInvalid, "ssl.enabled.protocols", "TLSv1.1"},
		{"TLS, unknown suite", with("ssl.cipher.suites=TLS_RSA_WITH_RC4_128_SHA"), ErrInvalid, "ssl.cipher.suites", "not safe"},
		{"TLS, no suite for the version", with("listeners=SSL://h:9092,CONTROLLER://h:9093", "ssl.keystore.location=/k", "ssl.enabled.protocols=TLSv1.3", "ssl.cipher.suites=TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"), ErrInvalid, "ssl.cipher.suites", "for a version"},
		{"bad key with a listener's prefix", with("listener.name.ssl.ssl.client.auth=maybe"), ErrInvalid, "listener.name.ssl.ssl.client.auth", "requested"},
		{"controllers' protocol", with("controller.listener.names=CONTROLLER", "listener.security.protocol.map=PLAINTEXT:PLAINTEXT", "process.roles=broker", "listeners=PLAINTEXT://h:9092"), ErrInvalid, "listener.security.protocol.map", "CONTROLLER:SSL"},
		{"inter-broker twice", with("inter.broker.listener.name=PLAINTEXT", "security.inter.broker.protocol=SSL"), ErrInvalid, "security.inter.broker.protocol", "one of the two"},
		{"SASL by map", with("listeners=IN://h:9092,CONTROLLER://h:9093", "listener.security.protocol.map=IN:SASL_SSL,CONTROLLER:PLAINTEXT", "ssl.keystore.location=/k", "sasl.enabled.mechanisms=SCRAM-SHA-256"), ErrInvalid, "security.inter.broker.protocol", "SASL_SSL"},
		{"bad map", with("listener.security.protocol.map=IN:TLS"), ErrInvalid, "listener.security.protocol.map", "no protocol"},
		{"advertised meta address", with("listeners=PLAINTEXT://0.0.0.0:9092,CONTROLLER://h:9093"), ErrInvalid, "advertised.listeners", "0.0.0.0"},
		{"advertised unknown", with("advertised.listeners=OTHER://h:9092"), ErrInvalid, "advertised.listeners", "OTHER"},
		{"advertised without host", with("advertised.listeners=PLAINTEXT://:9092"), ErrInvalid, "advertised.listeners", "no host"},
		{"inter broker listener", with("inter.broker.listener.name=X"), ErrInvalid, "inter.broker.listener.name", "not in listeners"},
		{"authorizer", with("authorizer.class.name=com.example.Authorizer"), ErrInvalid, "authorizer.class.name", "standard authorizer only"},
		{"super users", with("super.users=User:a;b"), ErrInvalid, "super.users", "is not type:name"},
		{"bucket", []string{"s3.data.buckets=0@ftp://x"}, ErrInvalid, "s3.data.buckets", `scheme "ftp"`},
		{"two buckets", []string{"s3.data.buckets=0@mem://x,1@mem://y"}, ErrInvalid, "s3.data.buckets", "2 buckets"},
		{"half a key", []string{"s3.data.buckets=0@s3://x?accessKey=a"}, ErrInvalid, "s3.data.buckets", "together"},
		{"static without keys", []string{"s3.data.buckets=0@s3://x?authType=static"}, ErrInvalid, "s3.data.buckets", "KAFKA_S3_ACCESS_KEY"},
		{"cluster without bucket", with("controller.quorum.voters=1@h:9093,2@g:9093"), ErrMissing, "s3.data.buckets", "share their log"},
		{"endpoint without bucket", []string{"s3.endpoint=http://h"}, ErrMissing, "s3.bucket", "s3.endpoint"},
		{"wal", []string{"s3.wal.path=0@s3://x"}, ErrInvalid, "s3.wal.path", "device or file"},
		{"cluster id", []string{"cluster.id=a b"}, ErrInvalid, "cluster.id", "' '"},
		{"upload above capacity", []string{"s3.wal.upload.threshold=1073741824"}, ErrInvalid, "s3.wal.upload.threshold", "268435456"},
		{"session timeouts", []string{"group.min.session.timeout.ms=2000000"}, ErrInvalid, "group.min.session.timeout.ms", "1800000"},
		{"retention zero", []string{"log.retention.hours=0"}, ErrInvalid, "log.retention.hours", "-1"},
		{"broker session", []string{"broker.session.timeout.ms=3000"}, ErrInvalid, "broker.session.timeout.ms", "twice"},
		{"request memory", []string{"queued.max.request.bytes=1000"}, ErrInvalid, "queued.max.request.bytes", "104857600"},
		{"per ip", []string{"max.connections.per.ip.overrides=h"}, ErrInvalid, "max.connections.per.ip.overrides", "address:number"},
		{"per ip of no host", []string{"max.connections.per.ip.overrides=a/b:3"}, ErrInvalid, "max.connections.per.ip.overrides", "name of a host"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := loadQuiet(Source{Overrides: tt.overrides})
			var e *Error
			if !errors.As(err, &e) || !errors.Is(err, tt.kind) || e.Key != tt.key || !strings.Contains(err.Error(), tt.text) {
				t.Fatalf("got  %v\nwant %v of %s with %q", err, tt.kind, tt.key, tt.text)
			}
			if strings.ContainsAny(err.Error(), "\r\n") || !strings.HasPrefix(err.Error(), "config: "+tt.key) {
				t.Errorf("not one line that begins with the key: %q", err)
			}
		})
	}
}

func TestErrorsNameTheLine(t *testing.T) {
	_, _, err := loadQuiet(Source{File: write(t, "# x\nnode.id=1\nnum.partition=1\n")})
	if err == nil || !strings.HasSuffix(err.Error(), "(server.properties:3)") {
		t.Errorf("got %v", err)
	}
	_, _, err = loadQuiet(Source{File: write(t, "num.partitions=x\n")})
	if err == nil || !strings.HasSuffix(err.Error(), "(server.properties:1)") {
		t.Errorf("got %v", err)
	}
	if _, _, err = loadQuiet(Source{File: filepath.Join(t.TempDir(), "none")}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	if _, _, err = loadQuiet(Source{S3URL: "s3://h"}); err == nil || !strings.HasPrefix(err.Error(), "config: --s3-url: s3-data-bucket is missing; allowed: s3://") {
		t.Errorf("got %v", err)
	}
}

func TestWarnings(t *testing.T) {
	_, warnings, err := loadQuiet(Source{Overrides: []string{"log.dirs=/d", "zookeeper.connect=h", "listener.name.plaintext.sasl.enabled.mechanisms=PLAIN", "ssl.keystore.location=/k",
		"replica.lag.time.max.ms=1", "remote.log.storage.system.enable=true", "remote.log.storage.system.enable=false", "ssl.some.plugin=1", "autobalancer.controller.enable=false"}})
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	for _, w := range warnings {
		keys = append(keys, w.Key)
	}
	if got := strings.Join(keys, " "); got != "listener.name.plaintext.sasl.enabled.mechanisms remote.log.storage.system.enable ssl.keystore.location ssl.some.plugin zookeeper.connect" {
		t.Errorf("warned about %s", got)
	}
}

// TestDefinitions: every default obeys its own definition, every used key says what it does.
func TestDefinitions(t *testing.T) {
	if n := len(BrokerDefs()); n < 330 {
		t.Errorf("only %d broker keys", n)
	}
	for kind, defs := range map[string][]*Def{"broker": BrokerDefs(), "topic": TopicDefs()} {
		for _, d := range defs {
			if !d.Null {
				if err := d.Validate(d.Default); err != nil && d.Name != "broker.id" {
					t.Errorf("%s default: %v", kind, err)
				}
			} else if d.Default != "" {
				t.Errorf("%s %s: null with a default", kind, d.Name)
			}
			if d.Use == Used && d.Doc == "" {
				t.Errorf("%s %s has no documentation", kind, d.Name)
			}
			if d.Allowed() == "" || strings.Contains(d.Allowed(), "\n") {
				t.Errorf("%s %s: allowed %q", kind, d.Name, d.Allowed())
			}
		}
	}
	for _, d := range TopicDefs() {
		for _, s := range TopicSynonyms(d.Name) {
			b, ok := BrokerDef(s.Key)
			if !ok {
				t.Errorf("%s: synonym %s is no broker key", d.Name, s.Key)
			} else if !b.Null && s.Scale == 1 && b.Default != d.Default && d.Name != "flush.ms" {
				t.Errorf("%s=%s, but %s=%s", d.Name, d.Default, s.Key, b.Default)
			}
		}
	}
}

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "server.properties")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}
