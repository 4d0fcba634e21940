package main

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	_ "net/http/pprof" // registers its handlers
)

// profileEnv names the environment variable with the address (host:port) on which a node serves Go's profiles. Whoever reaches it can read
// the node's memory: keep it on the loopback address.
const profileEnv = "RINGMQ_PROFILE"

// serveProfiles serves net/http/pprof until the process ends.
func serveProfiles(addr string, log *slog.Logger) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("ringmq: %s: %w", profileEnv, err)
	}
	log.Warn("serving profiles: keep this address private", "url", "http://"+l.Addr().String()+"/debug/pprof/")
	go func() { _ = http.Serve(l, nil) }()
	return nil
}
