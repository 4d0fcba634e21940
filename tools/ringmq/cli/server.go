package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/ringmq/ringmq/engine/config/storagedir"
	"github.com/ringmq/ringmq/engine/loglevel"
)

func (p Program) serverCommand() *cobra.Command {
	return group("server", "Run a node", p.serverStart())
}

func (p Program) serverStart() *cobra.Command {
	var (
		source sourceFlags
		log    logFlags
	)
	c := &cobra.Command{
		Use:   "start [FILE]",
		Short: "Start a node with a properties file, or alone with built-in defaults",
		Long: `Start a node. FILE is a Java properties file with Kafka's and AutoMQ's keys (see: ringmq config keys). Without any
configuration a single node starts that is broker and controller, listens on port 9092 and keeps its data under log.dirs.
SIGTERM and SIGINT stop it cleanly; a second signal stops it at once.`,
		Example: `  ringmq server start
  ringmq server start config/server.properties --override num.partitions=3
  ringmq server start --s3-url='s3://127.0.0.1:9000?s3-endpoint-protocol=http&s3-data-bucket=ringmq&s3-path-style=true'`,
		Args: atMost(1),
		RunE: func(c *cobra.Command, args []string) error { return p.serve(c.Context(), &source, &log, args) },
	}
	source.register(c)
	log.register(c)
	return c
}

// serve loads the configuration, gives the directories their identity and runs the node.
func (p Program) serve(ctx context.Context, source *sourceFlags, lf *logFlags, args []string) error {
	logger, err := lf.logger(p.Stderr)
	if err != nil {
		return err
	}
	cfg, warnings, err := p.load(source, args)
	if err != nil {
		return err
	}
	for _, w := range warnings {
		logger.Warn("configuration", "key", w.Key, "text", w.Text, "where", w.Where)
	}
	dirs, err := storagedir.Open(storagedir.Options{Dirs: cfg.StorageDirs(), NodeID: cfg.NodeID, ClusterID: cfg.ClusterID, Given: !cfg.Embedded && (len(cfg.Voters) > 1 || !cfg.Controller)})
	if err != nil {
		return err
	}
	defer dirs.Close()
	if len(dirs.Formatted) > 0 {
		logger.Info("directories formatted", "dirs", dirs.Formatted, "cluster", dirs.ClusterID, "node", cfg.NodeID)
	}
	if cfg, err = cfg.WithClusterID(dirs.ClusterID).WithDirectoryIDs(dirs.DirectoryIDs); err != nil {
		return err
	}
	return p.Serve(ctx, cfg, logger)
}

// logFlags are the flags of the log.
type logFlags struct{ level, format string }

func (f *logFlags) register(c *cobra.Command) {
	c.Flags().StringVar(&f.level, "log-level", "info", "debug, info, warn or error")
	c.Flags().StringVar(&f.format, "log-format", "text", "text or json")
}

// registerQuiet is register for commands whose output is not their log.
func (f *logFlags) registerQuiet(c *cobra.Command) {
	f.register(c)
	c.Flags().Lookup("log-level").DefValue = "warn"
	f.level = "warn"
}

func (f *logFlags) logger(w interface{ Write([]byte) (int, error) }) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(f.level)); err != nil {
		return nil, usageError("--log-level=%q; allowed: debug, info, warn, error", f.level)
	}
	switch f.format {
	case "text":
		return slog.New(loglevel.New(level, func(o *slog.HandlerOptions) slog.Handler { return slog.NewTextHandler(w, o) })), nil
	case "json":
		return slog.New(loglevel.New(level, func(o *slog.HandlerOptions) slog.Handler { return slog.NewJSONHandler(w, o) })), nil
	}
	return nil, usageError("--log-format=%q; allowed: text, json", f.format)
}

const kafkaServerStartUsage = "USAGE: kafka-server-start.sh [-daemon] [--s3-url=URL] [server.properties] [--override property=value]*"

// kafkaServerStart understands what Kafka's script of that name understands, and the --s3-url of the seed system.
func (p Program) kafkaServerStart(ctx context.Context, args []string) error {
	var rest []string
	daemon := false
	for i := 0; i < len(args); i++ {
		switch a := args[i]; a {
		case "-daemon":
			daemon = true
		case "-loggc": // the collector of another runtime
		case "-name": // the name of a log file of another runtime
			i++
		case "--version":
			return p.execute(ctx, p.root(), []string{"version"})
		case "-h", "--help", "-help":
			fmt.Fprintln(p.Stdout, kafkaServerStartUsage)
			return nil
		default:
			rest = append(rest, a)
		}
	}
	if len(rest) == 0 {
		return &exitError{1, errors.New(kafkaServerStartUsage)}
	}
	args = append([]string{"server", "start"}, rest...)
	if daemon {
		return p.daemon(args)
	}
	return p.execute(ctx, p.root(), args)
}

// daemon starts the command detached from this terminal, with its log in $LOG_DIR/ringmq.log (default logs/), and returns.
func (p Program) daemon(args []string) error {
	exe, err := p.Executable()
	if err != nil {
		return fmt.Errorf("ringmq: -daemon: %w", err)
	}
	dir := p.Env("LOG_DIR")
	if dir == "" {
		dir = "logs"
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("ringmq: -daemon: %w", err)
	}
	path := filepath.Join(dir, "ringmq.log")
	out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return fmt.Errorf("ringmq: -daemon: %w", err)
	}
	defer out.Close()
	cmd := exec.Command(exe, args...)
	cmd.Args[0] = "ringmq"
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("ringmq: -daemon: %w", err)
	}
	fmt.Fprintf(p.Stdout, "ringmq: process %d, log %s\n", cmd.Process.Pid, path)
	return cmd.Process.Release()
}

// automqAdmin answers for the seed system's admin tool.
func (p Program) automqAdmin(ctx context.Context, args []string) error {
	root := &cobra.Command{Use: "automq-kafka-admin.sh", Short: "Prepare the configuration of a cluster", Args: noCommand, RunE: showHelp}
	root.AddCommand(p.s3URL(), p.startCommands(), p.propertyFiles())
	if len(args) == 1 && strings.TrimSpace(args[0]) == "" {
		args = nil
	}
	return p.execute(ctx, root, args)
}
