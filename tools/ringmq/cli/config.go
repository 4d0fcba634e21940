package cli

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/ringmq/ringmq/engine/config"
	"github.com/ringmq/ringmq/engine/config/storagedir"
)

func (p Program) configCommand() *cobra.Command {
	return group("config", "Look at a configuration", p.configPrint(), p.configValidate(), p.configKeys())
}

func (p Program) configPrint() *cobra.Command {
	var (
		source       sourceFlags
		all, origins bool
	)
	c := &cobra.Command{
		Use:   "print [FILE]",
		Short: "Print the effective configuration as a properties file, secrets masked",
		Args:  atMost(1),
		RunE: func(c *cobra.Command, args []string) error {
			cfg, _, err := p.load(&source, args)
			if err != nil {
				return err
			}
			for d, s := range cfg.All() {
				if s.Null || !all && !s.Origin.Static() && s.Value == d.Default || !all && !d.Listed() && !s.Origin.Static() && s.Value == d.Default {
					continue
				}
				value := s.Value
				if d.Sensitive() && value != "" {
					value = "[hidden]"
				}
				if origins {
					where := s.Where
					if where == "" {
						where = s.Origin.String()
					}
					fmt.Fprintf(p.Stdout, "# %s\n", where)
				}
				fmt.Fprintf(p.Stdout, "%s=%s\n", d.Name, strings.ReplaceAll(value, `\`, `\\`))
			}
			return nil
		},
	}
	source.register(c)
	c.Flags().BoolVar(&all, "all", false, "print keys at their default too")
	c.Flags().BoolVar(&origins, "origins", false, "say before each key where its value comes from")
	return c
}

func (p Program) configValidate() *cobra.Command {
	var source sourceFlags
	c := &cobra.Command{
		Use:   "validate [FILE]",
		Short: "Check a configuration and the directories that it names, without changing anything",
		Args:  atMost(1),
		RunE: func(c *cobra.Command, args []string) error {
			cfg, warnings, err := p.load(&source, args)
			if err != nil {
				return err
			}
			for _, w := range warnings {
				fmt.Fprintf(p.Stdout, "warning: %s\n", w)
			}
			dirs, err := storagedir.Open(storagedir.Options{Dirs: cfg.StorageDirs(), NodeID: cfg.NodeID, ClusterID: cfg.ClusterID, ReadOnly: true})
			if err != nil {
				return err
			}
			for _, d := range dirs.Unformatted {
				fmt.Fprintf(p.Stdout, "note: %s gets its identity on the first start\n", d)
				if parent := closedParent(d); parent != "" {
					fmt.Fprintf(p.Stdout, "note: this user cannot make %s: it may not write to %s\n", d, parent)
				}
			}
			if err := accessible(cfg.WAL.Path); cfg.Broker && cfg.WAL.Scheme == "file" && err != nil {
				return err
			}
			fmt.Fprintf(p.Stdout, "ok: %s\n", cfg.WithClusterID(dirs.ClusterID))
			return nil
		},
	}
	source.register(c)
	return c
}

// closedParent returns the directory in which dir would have to be made, if this user may not write there, else "".
func closedParent(dir string) string {
	for ; ; dir = filepath.Dir(dir) {
		switch err := unix.Access(dir, unix.W_OK|unix.X_OK); {
		case err == nil:
			return ""
		case !errors.Is(err, unix.ENOENT) || dir == filepath.Dir(dir):
			return dir
		}
	}
}

// accessible says why this user cannot read and write the write-ahead log at path, if it is there.
func accessible(path string) error {
	if err := unix.Access(path, unix.R_OK|unix.W_OK); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("config: s3.wal.path: %s: %w: give the device or file to the user of the node", path, err)
	}
	return nil
}

func (p Program) configKeys() *cobra.Command {
	var topic, used bool
	c := &cobra.Command{
		Use:   "keys [TEXT]",
		Short: "List the known keys that contain TEXT",
		Args:  atMost(1),
		RunE: func(c *cobra.Command, args []string) error {
			defs := config.BrokerDefs()
			if topic {
				defs = config.TopicDefs()
			}
			w := tabwriter.NewWriter(p.Stdout, 0, 8, 2, ' ', 0)
			fmt.Fprintln(w, "KEY\tTYPE\tDEFAULT\tUSE\tCHANGE\tMEANING")
			found := false
			for _, d := range defs {
				if used && d.Use != config.Used || len(args) > 0 && !strings.Contains(d.Name, strings.ToLower(args[0])) {
					continue
				}
				found = true
				value, change := d.Default, d.Scope.String()
				if d.Null {
					value = "-"
				}
				if topic {
					change = "topic"
				}
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", d.Name, d.Type, value, d.Use, change, d.Doc)
			}
			if !found {
				return fmt.Errorf("ringmq: no key contains %q", strings.Join(args, " "))
			}
			return w.Flush()
		},
	}
	c.Flags().BoolVar(&topic, "topic", false, "topic keys instead of broker keys")
	c.Flags().BoolVar(&used, "used", false, "only keys that do something in this version")
	return c
}
