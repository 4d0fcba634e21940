package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ringmq/ringmq/engine/config"
	"github.com/ringmq/ringmq/engine/config/storagedir"
)

// Program is the binary with everything that it takes from its process.
type Program struct {
	Stdout, Stderr io.Writer
	// Env reads the environment.
	Env func(string) string
	// Serve runs a node until the context ends, then shuts it down cleanly; it returns early with an error if the node fails. The
	// configuration's directories are locked and verified and its cluster id is known.
	Serve func(ctx context.Context, cfg *config.Config, log *slog.Logger) error
	// Executable is the path of the running binary, for -daemon.
	Executable func() (string, error)
}

// exitError carries an exit status other than 1.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

func usageError(format string, args ...any) error {
	return &exitError{2, fmt.Errorf(format, args...)}
}

// Main runs the command that argv names and returns the exit status.
func (p Program) Main(ctx context.Context, argv []string) int {
	err := p.run(ctx, argv)
	if err == nil {
		return 0
	}
	code := 1
	var e *exitError
	if errors.As(err, &e) {
		code = e.code
	}
	if text := strings.TrimSpace(err.Error()); text != "" {
		// Whatever a library or a mistyped command line puts into an error, keys of a bucket are not shown.
		fmt.Fprintln(p.Stderr, config.MaskSecrets(strings.ReplaceAll(text, "\n", "; ")))
	}
	return code
}

func (p Program) run(ctx context.Context, argv []string) error {
	name, args := "ringmq", []string(nil)
	if len(argv) > 0 {
		name, args = filepath.Base(argv[0]), argv[1:]
	}
	switch strings.TrimSuffix(name, ".sh") {
	case "kafka-server-start":
		return p.kafkaServerStart(ctx, args)
	case "automq-kafka-admin":
		return p.automqAdmin(ctx, args)
	}
	return p.execute(ctx, p.root(), args)
}

func (p Program) execute(ctx context.Context, root *cobra.Command, args []string) error {
	root.SetArgs(args)
	root.SetOut(p.Stdout)
	root.SetErr(p.Stderr)
	root.SilenceErrors, root.SilenceUsage = true, true
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usageError("%s: %v (see %s --help)", c.CommandPath(), err, c.CommandPath())
	})
	return root.ExecuteContext(ctx)
}

// root is the command tree.
func (p Program) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "ringmq",
		Short: "A Kafka broker with a write-ahead log on the local device and its data in object storage",
		Args:  noCommand,
		RunE:  showHelp,
	}
	root.AddCommand(p.serverCommand(), p.balancerCommand(), p.configCommand(), p.bucketCommand(), p.walCommand(), p.partitionCommand(), p.quorumCommand(), p.objectCommand(), p.versionCommand())
	return root
}

// group is a command that only has sub-commands.
func group(use, short string, sub ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Args: noCommand, RunE: showHelp}
	c.AddCommand(sub...)
	return c
}

func showHelp(c *cobra.Command, _ []string) error { return c.Help() }

// noCommand refuses an unknown sub-command, naming those that exist.
func noCommand(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var names []string
	for _, sub := range c.Commands() {
		if !sub.Hidden && sub.Name() != "help" {
			names = append(names, sub.Name())
		}
	}
	return usageError("%s: unknown command %q; allowed: %s", c.CommandPath(), args[0], strings.Join(names, ", "))
}

// atMost refuses more than n arguments.
func atMost(n int) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) > n {
			return usageError("%s: unexpected argument %q (see %s --help)", c.CommandPath(), args[n], c.CommandPath())
		}
		return nil
	}
}

// sourceFlags are the flags that say where a configuration comes from.
type sourceFlags struct {
	s3URL     string
	overrides []string
}

func (f *sourceFlags) register(c *cobra.Command) {
	c.Flags().StringVar(&f.s3URL, "s3-url", "", "object storage and cluster id as one URL, s3://host:port?s3-data-bucket=..&...")
	c.Flags().StringArrayVar(&f.overrides, "override", nil, "a configuration key, key=value; may be repeated, the last one wins")
}

// load reads the configuration of [FILE] and the flags.
func (p Program) load(f *sourceFlags, args []string) (*config.Config, []config.Warning, error) {
	src := config.Source{S3URL: f.s3URL, Overrides: f.overrides, Env: p.Env}
	if len(args) > 0 {
		src.File = args[0]
	}
	return config.Load(src)
}

// loadNode is load, and reads what the node's directories say of it, without changing them.
func (p Program) loadNode(f *sourceFlags, args []string) (*config.Config, *storagedir.Storage, error) {
	cfg, _, err := p.load(f, args)
	if err != nil {
		return nil, nil, err
	}
	dirs, err := storagedir.Open(storagedir.Options{Dirs: cfg.StorageDirs(), NodeID: cfg.NodeID, ClusterID: cfg.ClusterID, ReadOnly: true})
	return cfg, dirs, err
}
