package clients

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/ringmq/ringmq/tools/javakit"
)

// compiled is a kit with the programs of java/, or the test is skipped.
func compiled(t *testing.T, set javakit.Set) *javakit.Kit { return compiledOf(t, set, "java") }

// compiledOf is a kit with the programs of a directory.
func compiledOf(t *testing.T, set javakit.Set, dir string) *javakit.Kit {
	t.Helper()
	kit := javakit.ForTestOf(t, set)
	files, err := filepath.Glob(filepath.Join(dir, "*.java"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no programs: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	k, err := kit.Compile(ctx, files...)
	if errors.Is(err, javakit.ErrNoCompiler) {
		missing(t, true, "%v", err)
	} else if err != nil {
		t.Fatal(err)
	}
	return k
}
