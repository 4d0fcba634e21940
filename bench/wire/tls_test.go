package wire_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ringmq/ringmq/bench/wire"
)

func TestTLSFlags(t *testing.T) {
	junk := filepath.Join(t.TempDir(), "junk.pem")
	if err := os.WriteFile(junk, []byte("junk"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ args, want string }{
		{"", ""},
		{"-tls-cert " + junk, "need -tls-ca"},
		{"-tls-ca /none", "no such file"},
		{"-tls-ca " + junk, "no certificate in"},
	} {
		var f wire.TLSFlags
		fs := flag.NewFlagSet("test", flag.ContinueOnError)
		f.Register(fs)
		if err := fs.Parse(strings.Fields(c.args)); err != nil {
			t.Fatal(err)
		}
		config, err := f.Config()
		if config != nil || (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, %v", c.args, config, err)
		}
	}
}
