package oauth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const (
	maxKeySet    = 1 << 20 // bytes of a published key set
	fetchTimeout = 10 * time.Second
)

// KeysOptions say where keys are published.
type KeysOptions struct {
	// URL has the scheme https, http or file. Required.
	URL string
	// Refresh is the time from one look to the next. Required.
	Refresh time.Duration
	// Backoff and MaxBackoff are the time from a failed look to the next, doubled each time.
	Backoff, MaxBackoff time.Duration
	// Logger is told when the keys cannot be had, and when they can again. Required.
	Logger *slog.Logger
}

// Keys are an issuer's public keys. Any goroutine may use them.
type Keys struct {
	o    KeysOptions
	set  atomic.Pointer[jose.JSONWebKeySet]
	wake chan struct{} // a key is missing
}

// NewKeys makes a set that Run fills. While it is empty, no token is good.
func NewKeys(o KeysOptions) *Keys { return &Keys{o: o, wake: make(chan struct{}, 1)} }

// Run keeps the keys up to date until ctx ends.
func (k *Keys) Run(ctx context.Context) {
	failures := 0
	for {
		set, err := fetch(ctx, k.o.URL)
		wait := k.o.Refresh
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			if failures == 0 {
				k.o.Logger.Error("the keys that OAUTHBEARER tokens are checked with cannot be had; tokens of keys that are not known yet are refused until they can",
					"url", k.o.URL, "cause", err)
			}
			wait = min(k.o.Backoff<<min(failures, 20), k.o.MaxBackoff, k.o.Refresh)
			failures++
		default:
			if failures > 0 || k.set.Load() == nil {
				k.o.Logger.Info("the keys that OAUTHBEARER tokens are checked with are there", "url", k.o.URL, "keys", len(set.Keys))
			}
			failures = 0
			k.set.Store(set)
		}
		if !k.sleep(ctx, wait) {
			return
		}
	}
}

// sleep waits for the time of the next look, or until a key is missed; but a token of a made-up key must not make us ask without pause.
func (k *Keys) sleep(ctx context.Context, wait time.Duration) bool {
	pause := min(k.o.Backoff, wait)
	begun := time.Now()
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	case <-k.wake:
	}
	timer.Reset(max(0, pause-time.Since(begun)))
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// key finds a key by its id. A missing one is looked for in the background: the client that comes again finds it.
func (k *Keys) key(id string) (*jose.JSONWebKey, error) {
	set := k.set.Load()
	if set == nil {
		return nil, errors.New("the keys of the issuer are not there yet")
	}
	found := set.Key(id)
	if id == "" && len(set.Keys) == 1 { // an issuer with one key need not name it
		found = set.Keys
	}
	if len(found) == 0 {
		select {
		case k.wake <- struct{}{}:
		default:
		}
		return nil, fmt.Errorf("the issuer has no key %.40q", id)
	}
	return &found[0], nil
}

// fetch reads a key set. Keys that are secret or that are not for signatures are left out.
func fetch(ctx context.Context, from string) (*jose.JSONWebKeySet, error) {
	b, err := read(ctx, from)
	if err != nil {
		return nil, err
	}
	var all jose.JSONWebKeySet
	if err := json.Unmarshal(b, &all); err != nil {
		return nil, fmt.Errorf("oauth: not a JSON web key set: %w", err)
	}
	set := &jose.JSONWebKeySet{}
	for _, key := range all.Keys {
		if key.Valid() && key.IsPublic() && (key.Use == "" || key.Use == "sig") {
			set.Keys = append(set.Keys, key)
		}
	}
	if len(set.Keys) == 0 {
		return nil, errors.New("oauth: the JSON web key set has no public key for signatures")
	}
	return set, nil
}

func read(ctx context.Context, from string) ([]byte, error) {
	u, err := url.Parse(from)
	if err != nil {
		return nil, fmt.Errorf("oauth: %w", err)
	}
	if u.Scheme == "file" {
		f, err := os.Open(u.Path)
		if err != nil {
			return nil, fmt.Errorf("oauth: %w", err)
		}
		defer f.Close()
		return bounded(f)
	}
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return nil, fmt.Errorf("oauth: %w", err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("oauth: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("oauth: the endpoint answers %s", resp.Status)
	}
	return bounded(resp.Body)
}

func bounded(r io.Reader) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxKeySet+1))
	if err != nil {
		return nil, fmt.Errorf("oauth: %w", err)
	}
	if len(b) > maxKeySet {
		return nil, fmt.Errorf("oauth: the key set is larger than %d bytes", maxKeySet)
	}
	return b, nil
}
