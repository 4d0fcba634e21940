package e2e

import (
	"bufio"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/ringmq/ringmq/tools/freeport"
	"github.com/ringmq/ringmq/tools/javakit"
)

// TestAdminTools: Kafka's own tools for what administrators change while a broker runs.
func TestAdminTools(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED by -short: the tools for administrators, which are Java programs")
	}
	kit := javakit.ForTest(t)
	port, err := freeport.Get()
	if err != nil {
		t.Fatal(err)
	}
	metrics := fmt.Sprint("127.0.0.1:", port)
	n := startNode(t, t.TempDir(), []string{"s3.telemetry.metrics.exporter.uri=prometheus://" + metrics})
	k := tools{t, kit, n.Seed()}
	t.Run("quotas", func(t *testing.T) {
		k := tools{t, kit, k.seed}
		k.run("kafka-configs", "", []string{"--alter", "--entity-type", "users", "--entity-name", "alice", "--entity-type", "clients", "--entity-default",
			"--add-config", "producer_byte_rate=1024,request_percentage=50"}, "Completed updating config for user alice.")
		k.run("kafka-configs", "", []string{"--describe", "--entity-type", "users", "--entity-name", "alice", "--entity-type", "clients", "--entity-default"},
			"Quota configs for user-principal 'alice', the default client-id are", "producer_byte_rate=1024.0", "request_percentage=50.0")
		k.run("kafka-configs", "", []string{"--alter", "--entity-type", "ips", "--entity-name", "10.0.0.1", "--add-config", "connection_creation_rate=5"}, "Completed updating")
		k.run("kafka-configs", "", []string{"--describe", "--entity-type", "ips"}, "Quota configs for ip '10.0.0.1' are connection_creation_rate=5.0")
	})
	t.Run("client metrics", func(t *testing.T) {
		k := tools{t, kit, k.seed}
		k.run("kafka-client-metrics", "", []string{"--alter", "--name", "sub", "--metrics", "org.apache.kafka.producer.", "--interval", "1000", "--match", "client_id=pushes"}, "Altered client metrics config for sub.")
		k.run("kafka-client-metrics", "", []string{"--describe", "--name", "sub"}, "interval.ms=1000", "match=client_id=pushes", "metrics=org.apache.kafka.producer.")
		k.run("kafka-client-metrics", "", []string{"--list"}, "sub")
		k.run("kafka-topics", "", []string{"--create", "--topic", "t"}, "Created topic t.")
		// Slow enough to live longer than an interval; it pushes once more when it ends.
		k.run("kafka-producer-perf-test", "", []string{"--topic", "t", "--num-records", "600", "--record-size", "100", "--throughput", "100", "--command-property", "client.id=pushes"}, "600 records sent")
		page := scrape(t, metrics)
		if !strings.Contains(page, `client_id="pushes"`) || !strings.Contains(page, "org.apache.kafka.producer.") || !strings.Contains(page, `software="apache-kafka-java/`) {
			t.Errorf("the producer's metrics are not on the page:\n%s", page)
		}
	})
}

// scrape returns the lines of a metrics page that are about clients.
func scrape(t *testing.T, addr string) string {
	t.Helper()
	resp, err := http.Get("http://" + addr + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var out strings.Builder
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "ringmq_client_metric") {
			out.WriteString(lines.Text() + "\n")
		}
	}
	return out.String()
}
