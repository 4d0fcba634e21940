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
	"github.com/ringmq/ringmq/engine/config/storagedir"
)

// adminFlags are what the generators of the seed system's admin tool are given.
type adminFlags struct {
	s3URL, controllers, brokers, dataDir string
	controllerOnly                       bool
	bandwidthMB                          int
	overrides                            []string

	url config.S3URL // by plan
}

func (f *adminFlags) register(c *cobra.Command) {
	c.Flags().StringVar(&f.s3URL, "s3-url", "", "object storage and cluster id, s3://host:port?... as generate-s3-url prints it")
	c.Flags().StringVar(&f.controllers, "controller-list", "", "controllers as ip:port;ip:port")
	c.Flags().StringVar(&f.brokers, "broker-list", "", "brokers as ip:port;ip:port")
	c.Flags().BoolVar(&f.controllerOnly, "controller-only-mode", false, "controllers are not brokers at the same time")
	c.Flags().IntVar(&f.bandwidthMB, "network-baseline-bandwidth-mb", 0, "MiB a second to and from the object store, per direction; 0: s3.network.baseline.bandwidth's default")
	c.Flags().StringVar(&f.dataDir, "data-dir", "/var/lib/ringmq", "directory on every host; node N keeps its write-ahead log and metadata in DIR/node-N")
	c.Flags().StringArrayVar(&f.overrides, "override", nil, "a further key=value for every node; may be repeated")
	for _, name := range []string{"s3-url", "controller-list", "broker-list"} {
		cobra.MarkFlagRequired(c.Flags(), name)
	}
}

// node is one process of a planned cluster.
type node struct {
	kind     string   // server (both roles), controller or broker
	settings []string // key=value
}

// combinedPort is where clients reach a combined node, unless the broker list names its host with another port.
const combinedPort = "9092"

// plan numbers the controllers from 0 and then the brokers, and leaves out brokers on hosts that already run a combined node.
func (f *adminFlags) plan() ([]node, error) {
	var err error
	if f.url, err = config.ParseS3URL(f.s3URL); err != nil {
		return nil, usageError("--s3-url: %v", err)
	}
	if f.url.ClusterID == "" {
		f.url.ClusterID = storagedir.NewID() // nodes that chose their own would refuse each other
	}
	controllers, err := hostPorts("--controller-list", f.controllers)
	if err != nil {
		return nil, err
	}
	brokers, err := hostPorts("--broker-list", f.brokers)
	if err != nil {
		return nil, err
	}
	nodes, err := f.planControllers(controllers, brokers)
	if err != nil {
		return nil, err
	}
	quorum := nodes[0].settings[2]
	combined := map[string]bool{}
	for _, c := range controllers {
		host, _, _ := net.SplitHostPort(c)
		combined[host] = !f.controllerOnly
	}
	for _, b := range brokers {
		if host, _, _ := net.SplitHostPort(b); combined[host] {
			continue
		}
		id := "node.id=" + strconv.Itoa(len(nodes))
		nodes = append(nodes, node{"broker", []string{"process.roles=broker", id, quorum, "listeners=PLAINTEXT://" + b, "advertised.listeners=PLAINTEXT://" + b}})
	}
	for id := range nodes {
		n := &nodes[id]
		n.settings = append(n.settings, "log.dirs="+filepath.Join(f.dataDir, "node-"+strconv.Itoa(id)))
		if f.bandwidthMB > 0 {
			n.settings = append(n.settings, "s3.network.baseline.bandwidth="+strconv.Itoa(f.bandwidthMB<<20))
		}
		n.settings = append(n.settings, f.overrides...)
	}
	return nodes, f.check(nodes)
}

// planControllers is the part of the plan that is the controllers.
func (f *adminFlags) planControllers(controllers, brokers []string) ([]node, error) {
	clientPort := map[string]string{}
	for _, b := range brokers {
		if host, port, _ := net.SplitHostPort(b); clientPort[host] == "" {
			clientPort[host] = port
		}
	}
	var voters []string
	for i, c := range controllers {
		voters = append(voters, fmt.Sprintf("%d@%s", i, c))
	}
	quorum := "controller.quorum.voters=" + strings.Join(voters, ",")
	var nodes []node
	seen := map[string]string{}
	for i, c := range controllers {
		id := "node.id=" + strconv.Itoa(i)
		if f.controllerOnly {
			nodes = append(nodes, node{"controller", []string{"process.roles=controller", id, quorum, "listeners=CONTROLLER://" + c}})
			continue
		}
		host, port, _ := net.SplitHostPort(c)
		own := clientPort[host]
		if own == "" {
			own = combinedPort
		}
		if other, twice := seen[host]; twice {
			return nil, usageError("--controller-list: %s and %s are on one host, and each combined node listens for clients on port %s there; use --controller-only-mode=true", other, c, own)
		}
		seen[host] = c
		if port == own {
			return nil, usageError("--controller-list: %s: port %s is for the clients of a combined node; use another one or --controller-only-mode=true", c, own)
		}
		clients := "PLAINTEXT://" + net.JoinHostPort(host, own)
		nodes = append(nodes, node{"server", []string{"process.roles=broker,controller", id, quorum, "listeners=" + clients + ",CONTROLLER://" + c, "advertised.listeners=" + clients}})
	}
	return nodes, nil
}

// check loads each node's configuration, so that what is printed or written starts.
func (f *adminFlags) check(nodes []node) error {
	for _, n := range nodes {
		if _, _, err := config.Load(config.Source{S3URL: f.url.Text(), Overrides: n.settings, Env: func(string) string { return "" }}); err != nil {
			return usageError("%v", err)
		}
	}
	return nil
}

func hostPorts(flag, list string) ([]string, error) {
	var out []string
	seen := map[string]bool{}
	for item := range strings.SplitSeq(list, ";") {
		if item = strings.TrimSpace(item); item == "" {
			continue
		}
		host, port, err := net.SplitHostPort(item)
		n, perr := strconv.ParseUint(port, 10, 16)
		if err != nil || perr != nil || n == 0 || host == "" || strings.ContainsAny(host, " ,@/'\"$`\\") {
			return nil, usageError("%s: %q is not host:port; allowed: host:port;host:port", flag, item)
		}
		if seen[item] {
			return nil, usageError("%s: %s appears twice", flag, item)
		}
		seen[item] = true
		out = append(out, item)
	}
	if len(out) == 0 {
		return nil, usageError("%s: empty; allowed: host:port;host:port", flag)
	}
	return out, nil
}

// keysHint says where the keys come from when the URL holds none.
func (f *adminFlags) keysHint() string {
	if f.url.AccessKey != "" || f.url.CredentialsFile != "" {
		return ""
	}
	return "The url holds no keys: set KAFKA_S3_ACCESS_KEY and KAFKA_S3_SECRET_KEY in the environment of every node."
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
				fmt.Fprintf(p.Stdout, "bin/kafka-server-start.sh --s3-url=\"%s\"", f.url.Text())
				for _, s := range n.settings {
					fmt.Fprintf(p.Stdout, " --override %s", shellWord(s))
				}
				fmt.Fprint(p.Stdout, "\n\n")
			}
			fmt.Fprintln(p.Stdout, "TIPS: Start controllers first and then the brokers.")
			if hint := f.keysHint(); hint != "" {
				fmt.Fprintln(p.Stdout, "TIPS: "+hint)
			}
			return nil
		},
	}
	f.register(c)
	return c
}

// shellWord writes a word so that a shell takes it as it is; most need no quotation marks.
func shellWord(s string) string {
	plain := func(r rune) bool {
		return r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || strings.ContainsRune("_-./:=,@%+[]", r)
	}
	if s != "" && strings.TrimFunc(s, plain) == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// credentialsName is the file beside the generated properties that holds the keys of an URL.
const credentialsName = "s3.credentials"

func (p Program) propertyFiles() *cobra.Command {
	var f adminFlags
	c := &cobra.Command{
		Use: "generate-configuration-properties", Short: "Write one properties file per node, and the keys into a file of their own", Args: atMost(0),
		RunE: func(*cobra.Command, []string) error {
			nodes, err := f.plan()
			if err != nil {
				return err
			}
			written, err := f.write(nodes)
			for _, name := range written {
				fmt.Fprintln(p.Stdout, name)
			}
			if err != nil {
				return fmt.Errorf("ringmq: %w", err)
			}
			fmt.Fprintln(p.Stdout, "TIPS: Take each file to its host and start it: bin/kafka-server-start.sh FILE. Start controllers first and then the brokers.")
			if f.url.AccessKey != "" {
				fmt.Fprintln(p.Stdout, "TIPS: Take "+credentialsName+" along, into the same directory: it holds the keys, and is for the server's eyes only.")
			}
			if hint := f.keysHint(); hint != "" {
				fmt.Fprintln(p.Stdout, "TIPS: "+hint)
			}
			return nil
		},
	}
	f.register(c)
	return c
}

// write writes the properties files, and s3.credentials when the URL holds keys, into the working directory and returns their names.
func (f *adminFlags) write(nodes []node) (names []string, err error) {
	u := f.url
	put := func(name, text string, mode os.FileMode) error {
		// Written new: a file that exists might be readable by others.
		if err := os.Remove(name); err != nil && !os.IsNotExist(err) {
			return err
		}
		if err := os.WriteFile(name, []byte(text), mode); err != nil {
			return err
		}
		names = append(names, name)
		return nil
	}
	keys := "# Keys come from the environment: KAFKA_S3_ACCESS_KEY and KAFKA_S3_SECRET_KEY."
	switch {
	case u.AccessKey != "":
		keys = "# Keys are in the file " + credentialsName + " in the directory of this file."
		text := fmt.Sprintf("[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n", quoteINI(u.AccessKey), quoteINI(u.SecretKey))
		if err := put(credentialsName, text, 0o600); err != nil {
			return names, err
		}
		u.AccessKey, u.SecretKey, u.CredentialsFile = "", "", credentialsName
	case u.CredentialsFile != "":
		keys = "# Keys are in the file " + u.CredentialsFile + "."
	}
	storage := []string{"controller.listener.names=CONTROLLER", "listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
		"s3.data.buckets=" + u.Bucket(u.DataBucket).String(), "s3.ops.buckets=" + u.Bucket(u.OpsBucket).String(), "cluster.id=" + u.ClusterID}
	for id, n := range nodes {
		lines := append([]string{keys}, storage...)
		for _, s := range n.settings {
			lines = append(lines, strings.ReplaceAll(s, `\`, `\\`))
		}
		if err := put(fmt.Sprintf("%s-%d.properties", n.kind, id), strings.Join(lines, "\n")+"\n", 0o644); err != nil {
			return names, err
		}
	}
	return names, nil
}

// quoteINI quotes a value of an INI file if it would not be read as it is.
func quoteINI(s string) string {
	switch {
	case strings.Contains(s, "`"):
		return `"""` + s + `"""`
	case strings.ContainsAny(s, "#;\"'\\ %"):
		return "`" + s + "`"
	}
	return s
}
