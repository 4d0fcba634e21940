package javakit

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// ErrNoCompiler: there is a Java runtime, but no compiler beside it.
var ErrNoCompiler = errors.New("javakit: no javac")

// Compile compiles Java source files against the kit's class path and returns a kit that has the classes too. They are cached under a key of sources and
// class path. The error wraps ErrNoCompiler, or has what the compiler says.
func (k *Kit) Compile(ctx context.Context, files ...string) (*Kit, error) {
	sum := sha256.New()
	fmt.Fprintln(sum, k.ClassPath)
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			return nil, fmt.Errorf("javakit: %w", err)
		}
		fmt.Fprintf(sum, "%s %d\n%s", filepath.Base(f), len(b), b)
	}
	dir, err := CacheDir()
	if err != nil {
		return nil, err
	}
	unlock, err := lock(ctx, filepath.Join(dir, "lock"))
	if err != nil {
		return nil, err
	}
	defer unlock()
	classes := filepath.Join(dir, "classes-"+hex.EncodeToString(sum.Sum(nil)[:8]))
	compiled := &Kit{Java: k.Java, ClassPath: classes + ":" + k.ClassPath, logConfig: k.logConfig, Version: k.Version}
	if _, err := os.Stat(classes); err == nil {
		return compiled, nil
	}
	javac, err := exec.LookPath(filepath.Join(filepath.Dir(k.Java), "javac"))
	if err != nil {
		if javac, err = exec.LookPath("javac"); err != nil {
			return nil, fmt.Errorf("%w: install a Java development kit (Debian: default-jdk-headless) (%w)", ErrNoCompiler, err)
		}
	}
	tmp, err := os.MkdirTemp(dir, "compile")
	if err != nil {
		return nil, fmt.Errorf("javakit: %w", err)
	}
	defer os.RemoveAll(tmp)
	args := append([]string{"-nowarn", "-Xlint:none", "-proc:none", "-cp", k.ClassPath, "-d", tmp}, files...)
	if out, err := exec.CommandContext(ctx, javac, args...).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("javakit: javac: %w\n%s", err, out)
	}
	if err := os.Rename(tmp, classes); err != nil {
		return nil, fmt.Errorf("javakit: %w", err)
	}
	return compiled, nil
}
