package kraft

import (
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// identityFile says whose metadata directory it is.
const identityFile = "identity"

// identity is what the identity file says. Its text is also the head of every segment of the raft log.
type identity struct {
	text      string
	founders  []int32  // whom this controller founded the cluster with, ascending; none: it joins one
	directory [16]byte // zero in directories of the first version, when Options does not say
}

// newIdentity is the identity of a directory that is used for the first time.
func newIdentity(o Options) identity {
	id := identity{directory: o.DirectoryID}
	if id.directory == [16]byte{} {
		id.directory = randomID()
	}
	role := "observer"
	if o.Roles.Controller {
		role = "voter"
		if _, founder := o.Voters[o.NodeID]; founder {
			id.founders = slices.Sorted(maps.Keys(o.Voters))
		}
	}
	id.text = fmt.Sprintf("format=1\ncluster.id=%s\nnode.id=%d\nrole=%s\nvoters=%s\ndirectory.id=%x\n",
		o.ClusterID, o.NodeID, role, strings.Trim(fmt.Sprint(id.founders), "[]"), id.directory)
	return id
}

// claimDir makes the directory this node's, or checks that it is. The lock lives as long as the returned file is open.
func claimDir(o Options) (*os.File, identity, error) {
	if strings.ContainsAny(o.ClusterID, "\n\r") {
		return nil, identity{}, fmt.Errorf("kraft: cluster id %q", o.ClusterID)
	}
	if err := os.MkdirAll(o.Dir, 0o750); err != nil {
		return nil, identity{}, fmt.Errorf("kraft: metadata directory: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(o.Dir, "lock"), os.O_CREATE|os.O_RDWR, 0o640)
	if err != nil {
		return nil, identity{}, fmt.Errorf("kraft: metadata directory: %w", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		lock.Close()
		return nil, identity{}, fmt.Errorf("kraft: metadata directory %s is in use by another process: %w", o.Dir, err)
	}
	id, err := readIdentity(o)
	if err != nil {
		lock.Close()
		return nil, identity{}, err
	}
	return lock, id, nil
}

// readIdentity reads whose directory it is, and gives it to this node when it is nobody's. Whom the quorum consists of may have changed since the
// directory was made, so that what Options say of it is not compared.
func readIdentity(o Options) (identity, error) {
	path := filepath.Join(o.Dir, identityFile)
	want := newIdentity(o)
	got, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return want, writeDurably(path, []byte(want.text))
	}
	if err != nil {
		return identity{}, fmt.Errorf("kraft: metadata directory: %w", err)
	}
	have, need := parseIdentity(string(got)), parseIdentity(want.text)
	for _, key := range []string{"format", "cluster.id", "node.id", "role"} {
		if have[key] != need[key] {
			return identity{}, fmt.Errorf("kraft: metadata directory %s belongs to %s %q, not to %q", o.Dir, key, have[key], need[key])
		}
	}
	id := identity{text: string(got), directory: o.DirectoryID}
	bad := fmt.Errorf("kraft: metadata directory %s: the file %s is damaged", o.Dir, identityFile)
	for f := range strings.FieldsSeq(have["voters"]) {
		v, err := strconv.ParseInt(f, 10, 32)
		if err != nil {
			return identity{}, bad
		}
		id.founders = append(id.founders, int32(v))
	}
	text, ok := have["directory.id"]
	if !ok {
		return id, nil // of the first version
	}
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw) != len(id.directory) {
		return identity{}, bad
	}
	if o.DirectoryID != [16]byte{} && o.DirectoryID != [16]byte(raw) {
		return identity{}, fmt.Errorf("kraft: metadata directory %s belongs to directory.id %x, not to %x", o.Dir, raw, o.DirectoryID)
	}
	id.directory = [16]byte(raw)
	return id, nil
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
