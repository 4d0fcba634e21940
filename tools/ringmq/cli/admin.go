package cli

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ringmq/ringmq/engine/config"
)

// adminFlags are what the generators of the seed system's admin tool are given.
type adminFlags struct {
	s3URL, controllers, brokers string
	controllerOnly              bool
	bandwidthMB                 int
}

func (f *adminFlags) register(c *cobra.Command) {
	c.Flags().StringVar(&f.s3URL, "s3-url", "", "object storage and cluster id, s3://host:port?...")
	c.Flags().StringVar(&f.controllers, "controller-list", "", "controllers as ip:port;ip:port")
	c.Flags().StringVar(&f.brokers, "broker-list", "", "brokers as ip:port;ip:port")
	c.Flags().BoolVar(&f.controllerOnly, "controller-only-mode", false, "controllers are not brokers at the same time")
	c.Flags().IntVar(&f.bandwidthMB, "network-baseline-bandwidth-mb", 0, "accepted for compatibility")
	for _, name := range []string{"s3-url", "controller-list", "broker-list"} {
		cobra.MarkFlagRequired(c.Flags(), name)
	}
}

// node is one process of a planned cluster.
type node struct {
	kind      string // server (both roles), controller or broker
	overrides []string
}

// plan numbers the controllers from 0 and then the brokers, and leaves out brokers on hosts that already run a combined node.
func (f *adminFlags) plan() ([]node, error) {
	if _, err := config.ParseS3URL(f.s3URL); err != nil {
		return nil, fmt.Errorf("--s3-url: %w", err)
	}
	controllers, err := hostPorts("--controller-list", f.controllers)
	if err != nil {
		return nil, err
	}
	brokers, err := hostPorts("--broker-list", f.brokers)
	if err != nil {
		return nil, err
	}
	var voters []string
	combined := map[string]bool{}
	for i, c := range controllers {
		voters = append(voters, fmt.Sprintf("%d@%s", i, c))
		host, port, _ := net.SplitHostPort(c)
		if !f.controllerOnly && port == "9092" {
			return nil, fmt.Errorf("--controller-list: %s: port 9092 is for the clients of a combined node; use another one or --controller-only-mode=true", c)
		}
		combined[host] = !f.controllerOnly
	}
	quorum := "controller.quorum.voters=" + strings.Join(voters, ",")
	var nodes []node
	for i, c := range controllers {
		id := "node.id=" + strconv.Itoa(i)
		if f.controllerOnly {
			nodes = append(nodes, node{"controller", []string{"process.roles=controller", id, quorum, "listeners=CONTROLLER://" + c}})
			continue
		}
		host, _, _ := net.SplitHostPort(c)
		clients := "PLAINTEXT://" + net.JoinHostPort(host, "9092")
		nodes = append(nodes, node{"server", []string{"process.roles=broker,controller", id, quorum, "listeners=" + clients + ",CONTROLLER://" + c, "advertised.listeners=" + clients}})
	}
	for _, b := range brokers {
		if host, _, _ := net.SplitHostPort(b); combined[host] {
			continue
		}
		id := "node.id=" + strconv.Itoa(len(nodes))
		nodes = append(nodes, node{"broker", []string{"process.roles=broker", id, quorum, "listeners=PLAINTEXT://" + b, "advertised.listeners=PLAINTEXT://" + b}})
	}
	return nodes, nil
}

func hostPorts(flag, list string) ([]string, error) {
	var out []string
	for item := range strings.SplitSeq(list, ";") {
		if item = strings.TrimSpace(item); item == "" {
			continue
		}
		host, port, err := net.SplitHostPort(item)
		n, perr := strconv.ParseUint(port, 10, 16)
		if err != nil || perr != nil || host == "" || n == 0 {
			return nil, fmt.Errorf("%s: %q is not host:port; allowed: host:port;host:port", flag, item)
		}
		out = append(out, item)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s: empty; allowed: host:port;host:port", flag)
	}
	return out, nil
}

func (p Program) startCommands() *cobra.Command {
	var f adminFlags
	c := &cobra.Command{
		Use: "generate-start-command", Short: "Print the command that starts each node", Args: atMost(0),
		RunE: func(*cobra.Command, []string) error {
			nodes, err := f.plan()
			if err != nil {
				return err
			}
			fmt.Fprintf(p.Stdout, "############  Start Commandline ##############\nTo start a node, run its command on its host.\n\n")
			for _, n := range nodes {
				fmt.Fprintf(p.Stdout, "bin/kafka-server-start.sh --s3-url=%q", f.s3URL)
				for _, o := range n.overrides {
					fmt.Fprintf(p.Stdout, " --override %s", o)
				}
				fmt.Fprint(p.Stdout, "\n\n")
			}
			fmt.Fprintln(p.Stdout, "TIPS: Start controllers first and then the brokers.")
			return nil
		},
	}
	f.register(c)
	return c
}

func (p Program) propertyFiles() *cobra.Command {
	var f adminFlags
	c := &cobra.Command{
		Use: "generate-configuration-properties", Short: "Write one properties file per node, without secrets", Args: atMost(0),
		RunE: func(*cobra.Command, []string) error {
			nodes, err := f.plan()
			if err != nil {
				return err
			}
			u, err := config.ParseS3URL(f.s3URL)
			if err != nil {
				return err
			}
			storage := []string{"controller.listener.names=CONTROLLER", "inter.broker.listener.name=PLAINTEXT", "listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
				"s3.data.buckets=" + bucketWithoutKeys(u, u.DataBucket), "s3.ops.buckets=" + bucketWithoutKeys(u, u.OpsBucket)}
			if u.ClusterID != "" {
				storage = append(storage, "cluster.id="+u.ClusterID)
			}
			for id, n := range nodes {
				name := fmt.Sprintf("%s-%d.properties", n.kind, id)
				lines := append([]string{"# Keys come from the environment: KAFKA_S3_ACCESS_KEY and KAFKA_S3_SECRET_KEY."}, n.overrides...)
				lines = append(lines, "log.dirs=/var/lib/ringmq/node-"+strconv.Itoa(id))
				lines = append(lines, storage...)
				if err := os.WriteFile(name, []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
					return fmt.Errorf("ringmq: %w", err)
				}
				fmt.Fprintln(p.Stdout, filepath.Clean(name))
			}
			return nil
		},
	}
	f.register(c)
	return c
}

func bucketWithoutKeys(u config.S3URL, name string) string {
	return config.BucketURI{Scheme: "s3", Bucket: name, Region: u.Region, Endpoint: u.Endpoint, PathStyle: u.PathStyle}.String()
}
