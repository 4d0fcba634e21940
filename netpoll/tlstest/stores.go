package tlstest

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"time"

	"github.com/pavlo-v-chernykh/keystore-go/v4"
	"github.com/youmark/pkcs8"
	"software.sslmate.com/src/go-pkcs12"
)

// PKCS12 is the pair with its chain as a PKCS12 key store.
func (p Pair) PKCS12(password string) []byte {
	p.t.Helper()
	b, err := pkcs12.Modern.Encode(p.Key, p.Cert, []*x509.Certificate{p.ca.Cert}, password)
	if err != nil {
		p.t.Fatal(err)
	}
	return b
}

// PKCS12 is the CA as a PKCS12 trust store.
func (ca *CA) PKCS12(password string) []byte {
	ca.t.Helper()
	b, err := pkcs12.Modern.EncodeTrustStore([]*x509.Certificate{ca.Cert}, password)
	if err != nil {
		ca.t.Fatal(err)
	}
	return b
}

// JKS is the pair with its chain as a JKS key store.
func (p Pair) JKS(password, keyPassword string) []byte {
	p.t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(p.Key)
	if err != nil {
		p.t.Fatal(err)
	}
	ks := keystore.New()
	if err := ks.SetPrivateKeyEntry("node", keystore.PrivateKeyEntry{CreationTime: time.Now(), PrivateKey: der, CertificateChain: []keystore.Certificate{
		{Type: "X509", Content: p.Cert.Raw}, {Type: "X509", Content: p.ca.Cert.Raw},
	}}, []byte(keyPassword)); err != nil {
		p.t.Fatal(err)
	}
	var b bytes.Buffer
	if err := ks.Store(&b, []byte(password)); err != nil {
		p.t.Fatal(err)
	}
	return b.Bytes()
}

// JKS is the CA as a JKS trust store.
func (ca *CA) JKS(password string) []byte {
	ca.t.Helper()
	ks := keystore.New()
	if err := ks.SetTrustedCertificateEntry("ca", keystore.TrustedCertificateEntry{
		CreationTime: time.Now(), Certificate: keystore.Certificate{Type: "X509", Content: ca.Cert.Raw},
	}); err != nil {
		ca.t.Fatal(err)
	}
	var b bytes.Buffer
	if err := ks.Store(&b, []byte(password)); err != nil {
		ca.t.Fatal(err)
	}
	return b.Bytes()
}

// EncryptedPEM is key and certificates, the key encrypted (PKCS#8).
func (p Pair) EncryptedPEM(keyPassword string) []byte {
	p.t.Helper()
	der, err := pkcs8.MarshalPrivateKey(p.Key, []byte(keyPassword), nil)
	if err != nil {
		p.t.Fatal(err)
	}
	return append(pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: der}), p.CertPEM()...)
}
