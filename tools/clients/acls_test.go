package clients

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/ringmq/ringmq/bench/proc"
	"github.com/ringmq/ringmq/tools/freeport"
	"github.com/ringmq/ringmq/tools/javakit"
)

// guarded is the configuration of a node with an authorizer, on three free ports: who comes to the PLAINTEXT listener is a super user, who comes to the other one
// is ann and may do nothing.
type guarded struct {
	plain, controller int
	users             string
	properties        map[string]string
}

func newGuarded(t *testing.T) guarded {
	t.Helper()
	var ports [3]int
	for i := range ports {
		var err error
		if ports[i], err = freeport.Get(); err != nil {
			t.Fatal(err)
		}
	}
	plain, users, controller := fmt.Sprintf("127.0.0.1:%d", ports[0]), fmt.Sprintf("127.0.0.1:%d", ports[1]), fmt.Sprintf("127.0.0.1:%d", ports[2])
	return guarded{ports[0], ports[2], users, map[string]string{
		"listeners":                                           "PLAINTEXT://" + plain + ",SASL_PLAINTEXT://" + users + ",CONTROLLER://" + controller,
		"advertised.listeners":                                "PLAINTEXT://" + plain + ",SASL_PLAINTEXT://" + users,
		"controller.quorum.voters":                            "1@" + controller,
		"listener.security.protocol.map":                      "PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT",
		"inter.broker.listener.name":                          "PLAINTEXT",
		"sasl.enabled.mechanisms":                             "PLAIN",
		"listener.name.sasl_plaintext.plain.sasl.jaas.config": `org.apache.kafka.common.security.plain.PlainLoginModule required user_` + user + `="` + password + `";`,
		"authorizer.class.name":                               "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
		"super.users":                                         "User:ANONYMOUS",
		"offsets.topic.num.partitions":                        "1",
		"transaction.state.log.num.partitions":                "1",
	}}
}

// TestACLTool runs testdata/acls.script against a node with an authorizer, and compares what is printed with testdata/acls.txt, which Apache Kafka has printed.
func TestACLTool(t *testing.T) {
	notShort(t)
	kit := compiled(t, javakit.AppSet)
	g := newGuarded(t)
	var overrides []string
	for k, v := range g.properties {
		overrides = append(overrides, k+"="+v)
	}
	n := startOn(t, &proc.RingMQ{Port: g.plain, ControllerPort: g.controller, Overrides: overrides})
	want := parseGolden(t, "testdata/acls.txt")
	same := func(command, printed string) bool { return sameLines(want[command], printed) }
	for _, c := range (toolScript{seed: n.Seed(), users: g.users, settled: same}).run(t, startToolbox(t, kit), "testdata/acls.script") {
		if !same(c.command, c.printed) {
			t.Errorf("%s\nprinted:\n%s\nApache Kafka:\n%s", c.command, c.printed, want[c.command])
		}
	}
}

// TestACLToolOfKafka runs the same against Apache Kafka. With -rewrite it writes testdata/acls.txt.
func TestACLToolOfKafka(t *testing.T) {
	wholeOnly(t)
	kit := compiled(t, javakit.AppSet)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	g := newGuarded(t)
	k, err := kit.StartKafka(ctx, javakit.KafkaOptions{Dir: t.TempDir(), Bootstrap: fmt.Sprintf("127.0.0.1:%d", g.plain), Properties: g.properties})
	if err != nil {
		t.Fatal(err)
	}
	defer k.Stop()
	s := toolScript{seed: k.Bootstrap, users: g.users}
	if *rewrite {
		writeGolden(t, "testdata/acls.txt", s.run(t, startToolbox(t, kit), "testdata/acls.script"))
		return
	}
	want := parseGolden(t, "testdata/acls.txt")
	s.settled = func(command, printed string) bool { return sameLines(want[command], printed) }
	for _, c := range s.run(t, startToolbox(t, kit), "testdata/acls.script") {
		if !sameLines(want[c.command], c.printed) {
			t.Errorf("%s\nprinted:\n%s\nwant:\n%s", c.command, c.printed, want[c.command])
		}
	}
}
