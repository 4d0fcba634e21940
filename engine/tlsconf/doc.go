// Package tlsconf turns Kafka's ssl.* keys into configurations of crypto/tls, and keeps them up to date.
//
//	config.TLS ──► Source ──► generation: key and certificates, CAs, tls.Config of the listener
//	                 ▲            │ swapped as a whole
//	 files (Watch) ──┘            ▼
//	 Update (keys)         Server: every handshake takes the newest       Client: for one call to a node
//
// A Source belongs to one listener; the controllers' is also how nodes call each other. Key stores are PEM, PKCS12 and JKS; between the last two
// the file itself decides, as in Java. What is wrong with a file is an error that names the key of the configuration; at run time it is a line
// in the log, and what was there before stays in use. So do a certificate with another subject, or without a name that its predecessor had,
// unless ssl.allow.dn.changes and ssl.allow.san.changes say otherwise, as in Kafka.
//
// Sessions are resumed by ticket only where no certificates of clients are asked for: whoever presents one is judged anew each time, by the CAs
// of that moment. A missing trust store means the system's CAs towards nodes that are called, and is refused (by config) where clients are judged.
// Connections that are open when certificates change keep what they have.
//
// Principals (principal.go): the subject of a client's certificate in the form of RFC 2253, as Java writes it, through the rules of
// ssl.principal.mapping.rules.
package tlsconf
