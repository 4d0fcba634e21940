package clients

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// installed are the directories that tools/scripts/need-clients.sh has made, by name, and what it could not.
var installed = sync.OnceValues(func() (map[string]string, string) {
	cmd := exec.Command("../scripts/need-clients.sh")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	dirs := map[string]string{}
	for line := range strings.Lines(string(out)) {
		if name, dir, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			dirs[name] = dir
		}
	}
	if err != nil {
		stderr.WriteString(err.Error())
	}
	return dirs, stderr.String()
})

// needInstalled is the directory of one kind of client, or the test is skipped.
func needInstalled(t *testing.T, name string) string {
	t.Helper()
	dirs, trouble := installed()
	if dirs[name] == "" {
		missing(t, false, "the %s clients: %s", name, trouble)
	}
	return dirs[name]
}

// pythonClient is a program of python/.
func pythonClient(file string) func(*testing.T) runner {
	return func(t *testing.T) runner {
		dir := needInstalled(t, "python")
		return func(ctx context.Context, env []string) (string, string, error) {
			return runProgram(ctx, append(env, "PYTHONPATH="+dir, "PYTHONDONTWRITEBYTECODE=1"), "python3", "-W", "ignore::DeprecationWarning", filepath.Join("python", file))
		}
	}
}

// nodeClient is a program of node/.
func nodeClient(file string) func(*testing.T) runner {
	return func(t *testing.T) runner {
		dir := needInstalled(t, "node")
		return func(ctx context.Context, env []string) (string, string, error) {
			return runProgram(ctx, append(env, "CLIENT_MODULES="+dir), "node", filepath.Join("node", file))
		}
	}
}

// goClient is a program of go/.
func goClient(name string) func(*testing.T) runner {
	return func(t *testing.T) runner {
		program := filepath.Join(needInstalled(t, "go"), name)
		if _, err := os.Stat(program); err != nil {
			t.Fatal(err)
		}
		return func(ctx context.Context, env []string) (string, string, error) {
			return runProgram(ctx, env, program)
		}
	}
}
