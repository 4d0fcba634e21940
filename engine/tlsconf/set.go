package tlsconf

import (
	"log/slog"
	"sync"
	"time"

	"github.com/ringmq/ringmq/engine/config"
)

// watchInterval is how often files are looked at. It costs a stat of each.
const watchInterval = 3 * time.Second

// Set has the Sources of a node.
type Set struct {
	cfg     *config.Config
	sources map[string]*Source // by listener
	stop    chan struct{}
	once    sync.Once
	done    sync.WaitGroup
}

// OpenSet opens the TLS of every listener that has it, and follows its files until Close.
func OpenSet(cfg *config.Config, log *slog.Logger) (*Set, error) {
	s := &Set{cfg: cfg, sources: map[string]*Source{}, stop: make(chan struct{})}
	for _, c := range cfg.AllTLS() {
		src, err := Open(c, log)
		if err != nil {
			return nil, err
		}
		s.sources[c.Listener] = src
	}
	if len(s.sources) > 0 {
		s.done.Go(s.watch)
	}
	return s, nil
}

func (s *Set) watch() {
	tick := time.NewTicker(watchInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			for _, src := range s.sources {
				src.check()
			}
		case <-s.stop:
			return
		}
	}
}

// Of is the Source of a listener, nil when it speaks plaintext.
func (s *Set) Of(listener string) *Source { return s.sources[listener] }

// Update applies keys that were changed at run time; changed gives their values. What is not usable is logged, and nothing changes for that listener.
func (s *Set) Update(changed func(key string) (string, bool)) {
	for name, src := range s.sources {
		c, err := s.cfg.TLSWith(name, changed)
		if err != nil {
			src.log.Error("TLS: changed settings are not usable, those before stay in use", "listener", name, "cause", err)
			continue
		}
		src.change(c)
	}
}

// Close stops following the files. Idempotent.
func (s *Set) Close() {
	s.once.Do(func() { close(s.stop) })
	s.done.Wait()
}
