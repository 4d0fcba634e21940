package kraft

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// identityFile says whose metadata directory it is.
const identityFile = "identity"

// identity is the content of the identity file, and the head of every segment of the raft log.
func identity(o Options) string {
	ids := make([]int32, 0, len(o.Voters))
	for id := range o.Voters {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	role := "observer"
	if o.Roles.Controller {
		role = "voter"
	}
	return fmt.Sprintf("format=1\ncluster.id=%s\nnode.id=%d\nrole=%s\nvoters=%s\n", o.ClusterID, o.NodeID, role, strings.Trim(fmt.Sprint(ids), "[]"))
}

// claimDir makes the directory this node's, or checks that it is. The lock lives as long as the returned file is open.
func claimDir(o Options) (*os.File, error) {
	if strings.ContainsAny(o.ClusterID, "\n\r") {
		return nil, fmt.Errorf("kraft: cluster id %q", o.ClusterID)
	}
	if err := os.MkdirAll(o.Dir, 0o750); err != nil {
		return nil, fmt.Errorf("kraft: metadata directory: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(o.Dir, "lock"), os.O_CREATE|os.O_RDWR, 0o640)
	if err != nil {
		return nil, fmt.Errorf("kraft: metadata directory: %w", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		lock.Close()
		return nil, fmt.Errorf("kraft: metadata directory %s is in use by another process: %w", o.Dir, err)
	}
	if err := checkIdentity(o); err != nil {
		lock.Close()
		return nil, err
	}
	return lock, nil
}

func checkIdentity(o Options) error {
	path := filepath.Join(o.Dir, identityFile)
	want := identity(o)
	got, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return writeDurably(path, []byte(want))
	}
	if err != nil {
		return fmt.Errorf("kraft: metadata directory: %w", err)
	}
	if string(got) == want {
		return nil
	}
	have, need := parseIdentity(string(got)), parseIdentity(want)
	for _, key := range []string{"format", "cluster.id", "node.id", "role", "voters"} {
		if have[key] != need[key] {
			return fmt.Errorf("kraft: metadata directory %s belongs to %s %q, not to %q", o.Dir, key, have[key], need[key])
		}
	}
	return fmt.Errorf("kraft: metadata directory %s: the file %s is damaged", o.Dir, identityFile)
}

func parseIdentity(s string) map[string]string {
	m := make(map[string]string)
	for line := range strings.Lines(s) {
		if k, v, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "="); ok {
			m[k] = v
		}
	}
	return m
}

// writeDurably creates a file so that it is there as a whole or not at all.
func writeDurably(path string, content []byte) error {
	err := func() error {
		f, err := os.Create(path + ".tmp")
		if err != nil {
			return err
		}
		_, err = f.Write(content)
		if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
			return err
		}
		if err := os.Rename(path+".tmp", path); err != nil {
			return err
		}
		d, err := os.Open(filepath.Dir(path))
		if err != nil {
			return err
		}
		return errors.Join(d.Sync(), d.Close())
	}()
	if err != nil {
		return fmt.Errorf("kraft: write %s: %w", path, err)
	}
	return nil
}
