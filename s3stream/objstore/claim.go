package objstore

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// MarkerKey is the key of the object that says which cluster a bucket belongs to.
const MarkerKey = "_ringmq/cluster.json"

// maxMarkerBytes bounds what is read of a marker.
const maxMarkerBytes = 64 << 10

// Marker is the content of the object MarkerKey, in JSON.
type Marker struct {
	ClusterID string    `json:"clusterId"`
	Created   time.Time `json:"created"`
}

// ErrForeignBucket: the bucket belongs to another cluster. Two clusters in one bucket would delete each other's objects as orphans.
var ErrForeignBucket = errors.New("objstore: bucket belongs to another cluster")

// Claim makes clusterID the owner of the bucket, or finds that it is already. It refuses a bucket of another cluster with an error that
// wraps ErrForeignBucket and names that cluster. Of two clusters that claim an empty bucket at the same time one wins.
func Claim(ctx context.Context, b Bucket, clusterID string, now time.Time) (Marker, error) {
	if clusterID == "" || strings.ContainsAny(clusterID, "/\\") || checkKey(ctx, clusterID) != nil {
		if err := ctx.Err(); err != nil {
			return Marker{}, err
		}
		return Marker{}, fmt.Errorf("%w: cluster id %q", ErrInvalid, clusterID)
	}
	found, err := ReadMarker(ctx, b)
	if errors.Is(err, ErrNotFound) {
		mine := Marker{ClusterID: clusterID, Created: now.UTC().Truncate(time.Second)}
		text, jsonErr := json.Marshal(mine)
		if jsonErr != nil {
			return Marker{}, fmt.Errorf("objstore: cluster marker: %w", jsonErr)
		}
		if err = b.Create(ctx, MarkerKey, append(text, '\n')); err == nil {
			return mine, nil
		}
		if errors.Is(err, ErrExists) { // another node of ours, another cluster, or our own call whose answer was lost
			found, err = ReadMarker(ctx, b)
		}
	}
	if err != nil {
		return Marker{}, fmt.Errorf("claim for cluster %s of %s: %w", clusterID, b.Name(), err) // the name last: what hides secrets knows them before a colon
	}
	if found.ClusterID != clusterID {
		return found, fmt.Errorf("%w: %s is owned by cluster %s since %s (object %s), this is cluster %s; give each cluster a bucket of its own",
			ErrForeignBucket, b.Name(), found.ClusterID, found.Created.Format(time.RFC3339), MarkerKey, clusterID)
	}
	return found, nil
}

// ReadMarker returns the marker of a bucket, or an error that wraps ErrNotFound.
func ReadMarker(ctx context.Context, b Bucket) (Marker, error) {
	info, err := b.Head(ctx, MarkerKey)
	if err != nil {
		return Marker{}, err
	}
	if info.Size > maxMarkerBytes {
		return Marker{}, fmt.Errorf("%w: %s in %s has %d bytes, which is no cluster marker", ErrForeignBucket, MarkerKey, b.Name(), info.Size)
	}
	text := make([]byte, info.Size)
	if err := b.GetRange(ctx, MarkerKey, 0, text); err != nil {
		return Marker{}, err
	}
	var m Marker
	if err := json.NewDecoder(bytes.NewReader(text)).Decode(&m); err != nil || m.ClusterID == "" {
		return Marker{}, fmt.Errorf("%w: %s in %s is no cluster marker: %.100q", ErrForeignBucket, MarkerKey, b.Name(), text)
	}
	return m, nil
}
