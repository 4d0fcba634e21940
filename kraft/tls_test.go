package kraft

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"testing"

	"github.com/ringmq/ringmq/netpoll/tlstest"
	"github.com/ringmq/ringmq/tools/waittest"
)

// mutualTLS has a node speak TLS with a certificate of its own, and demand one, both of ca.
func mutualTLS(o *Options, ca *tlstest.CA) {
	cert := ca.Issue(fmt.Sprintf("node-%d", o.NodeID), nil).TLS()
	if o.Roles.Controller {
		o.Listen.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, ClientCAs: ca.Pool(), ClientAuth: tls.RequireAndVerifyClientCert}
	}
	o.DialTLS = func(host string) *tls.Config {
		return &tls.Config{ServerName: host, RootCAs: ca.Pool(), GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &cert, nil }}
	}
}

// TestMutualTLS: three voters and two observers, who speak TLS with each other only, do what a cluster does, through a change of the leader and a
// snapshot that travels.
func TestMutualTLS(t *testing.T) {
	ca := tlstest.NewCA(t, "cluster CA")
	c := newCluster(t, 3, func(o *Options) {
		mutualTLS(o, ca)
		o.SnapshotEntries, o.TrailingBytes, o.SegmentBytes = 50, 1, 64<<10
	})
	c.start(1)
	c.start(2)
	c.leader()
	register(t, c.nodes[1])
	for i := range 120 {
		createTopic(t, c.nodes[1], fmt.Sprintf("early-%d", i), 1)
	}
	c.start(3)
	c.start(10)
	c.start(11)
	for id, n := range c.nodes {
		if epoch := register(t, n); epoch < 1 {
			t.Fatalf("node %d has broker epoch %d", id, epoch)
		}
	}
	for id, n := range c.nodes {
		createTopic(t, n, fmt.Sprintf("by-%d", id), 5)
	}
	c.agree()
	c.stop(c.leader().opts.NodeID)
	createTopic(t, c.nodes[11], "after", 5)
	c.agree()
	for id, n := range c.nodes {
		if n.server == nil {
			continue
		}
		if st := n.server.Stats(); st.Handshakes == 0 || st.Closed.Handshake != 0 {
			t.Errorf("node %d: %d handshakes, %d failed", id, st.Handshakes, st.Closed.Handshake)
		}
	}
}

// TestStrangers: nodes that are not of the cluster's CA, or do not speak as it does, get nowhere, and both sides say why.
func TestStrangers(t *testing.T) {
	ours, theirs := tlstest.NewCA(t, "cluster CA"), tlstest.NewCA(t, "another CA")
	trusting := func(o *Options, client *tls.Certificate) { // trusts the cluster, but is not trusted
		o.DialTLS = func(host string) *tls.Config {
			return &tls.Config{ServerName: host, RootCAs: ours.Pool(), GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return client, nil }}
		}
	}
	mallory := theirs.Issue("mallory", nil).TLS()
	for name, test := range map[string]struct {
		cluster, stranger func(*Options)
		here, there       []string // words of the cluster's line, and of the stranger's
	}{
		"another CA": {
			func(o *Options) { mutualTLS(o, ours) }, func(o *Options) { mutualTLS(o, theirs) },
			[]string{"TLS handshake failed", "does not trust this side's certificate"}, []string{"no agreement", "CN=node-1", "issued by", "cluster CA", "is not signed by a CA of this side's trust store"},
		},
		"a certificate of another CA": {
			func(o *Options) { mutualTLS(o, ours) }, func(o *Options) { trusting(o, &mallory) },
			[]string{"TLS handshake failed", "CN=mallory", "another CA", "is not signed by a CA of this side's trust store"}, []string{"no agreement", "the peer does not trust this side's certificate"},
		},
		"no certificate": {
			func(o *Options) { mutualTLS(o, ours) }, func(o *Options) { trusting(o, new(tls.Certificate)) },
			[]string{"TLS handshake failed", "demands a certificate"}, []string{"no agreement", "demands a certificate"},
		},
		"plaintext to TLS": {
			func(o *Options) { mutualTLS(o, ours) }, func(*Options) {},
			[]string{"TLS handshake failed", "the peer speaks plaintext"}, []string{"no agreement", "speaks TLS, this node plaintext", "listener.security.protocol.map"},
		},
		"TLS to plaintext": {
			func(*Options) {}, func(o *Options) { mutualTLS(o, ours) },
			[]string{"begins a TLS handshake", "this listener speaks plaintext"}, []string{"no agreement", "does not speak TLS on this port"},
		},
		"another host": {
			func(o *Options) {
				mutualTLS(o, ours)
				cert := ours.Issue("elsewhere", func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = []string{"elsewhere"}, nil }).TLS()
				o.Listen.TLS.Certificates = []tls.Certificate{cert}
			},
			func(o *Options) { mutualTLS(o, ours) },
			[]string{"TLS handshake failed", "remote error"}, []string{"no agreement", "CN=elsewhere"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var here, there waittest.Log
			c := newCluster(t, 1, func(o *Options) {
				o.Logger = here.Logger(slog.LevelInfo)
				test.cluster(o)
			})
			c.startAll()
			register(t, c.nodes[1])
			c.change = func(o *Options) {
				o.Logger = there.Logger(slog.LevelInfo)
				test.stranger(o)
			}
			n := c.start(10)
			here.Await(t, testTimeout, test.here...)
			there.Await(t, testTimeout, test.there...)
			if n.Image().Offset() != 0 {
				t.Error("the stranger knows the cluster's metadata")
			}
		})
	}
}

// TestStrangerAmongVoters: a voter of another CA takes no part, whichever side calls; the others do without it.
func TestStrangerAmongVoters(t *testing.T) {
	ours, theirs := tlstest.NewCA(t, "cluster CA"), tlstest.NewCA(t, "another CA")
	var here, there waittest.Log
	c := newCluster(t, 3, func(o *Options) {
		ca, logs := ours, &here
		if o.NodeID == 3 {
			ca, logs = theirs, &there
		}
		o.Logger = logs.Logger(slog.LevelInfo)
		mutualTLS(o, ca)
		if o.NodeID == 3 { // it would take the others, but they do not take it
			o.Listen.TLS.ClientCAs = ours.Pool()
			dial := o.DialTLS
			o.DialTLS = func(host string) *tls.Config {
				config := dial(host)
				config.RootCAs = ours.Pool()
				return config
			}
		}
	})
	c.startAll()
	if leader := c.leader().opts.NodeID; leader == 3 {
		t.Fatal("the stranger leads")
	}
	register(t, c.nodes[1])
	createTopic(t, c.nodes[2], "without-it", 1)
	here.Await(t, testTimeout, "no agreement", "CN=node-3", "is not signed by a CA of this side's trust store") // they call it
	here.Await(t, testTimeout, "TLS handshake failed", "CN=node-3", "another CA")                               // it calls them
	there.Await(t, testTimeout, "no agreement", "the peer does not trust this side's certificate")
	there.Await(t, testTimeout, "TLS handshake failed", "does not trust this side's certificate")
	if c.nodes[3].Image().Offset() != 0 {
		t.Error("the stranger knows the cluster's metadata")
	}
}
