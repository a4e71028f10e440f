package perdure_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/internal/natstest"
)

// TestNode_security starts nodes on servers that ask who they are. That a caller gets an answer means that the
// connection for replies got in, too.
func TestNode_security(t *testing.T) {
	certs := natstest.NewCerts(t)
	for name, secure := range map[string]func(*testing.T, *server.Options) (perdure.Security, nats.Option){
		"nobody": func(*testing.T, *server.Options) (perdure.Security, nats.Option) {
			return perdure.Security{}, nats.Name("caller")
		},
		"user": func(_ *testing.T, o *server.Options) (perdure.Security, nats.Option) {
			o.Username, o.Password = "u", "p"
			return perdure.Security{User: "u", Password: "p"}, nats.UserInfo("u", "p")
		},
		"token": func(_ *testing.T, o *server.Options) (perdure.Security, nats.Option) {
			o.Authorization = "t"
			return perdure.Security{Token: "t"}, nats.Token("t")
		},
		"nkey": func(t *testing.T, o *server.Options) (perdure.Security, nats.Option) {
			t.Helper()
			user, public := newNKey(t, nkeys.CreateUser)
			seed, err := user.Seed()
			fatal(t, err)
			o.Nkeys = []*server.NkeyUser{{Nkey: public}}
			return perdure.Security{NKey: file(t, seed)}, nats.Nkey(public, user.Sign)
		},
		"creds": func(t *testing.T, o *server.Options) (perdure.Security, nats.Option) {
			t.Helper()
			path := file(t, operated(t, o))
			return perdure.Security{Creds: path}, nats.UserCredentials(path)
		},
		"tls": func(t *testing.T, o *server.Options) (perdure.Security, nats.Option) {
			t.Helper()
			encrypt(t, o, certs, false)
			return perdure.Security{TLSCA: certs.CA}, nats.RootCAs(certs.CA)
		},
		"tls of both sides": func(t *testing.T, o *server.Options) (perdure.Security, nats.Option) {
			t.Helper()
			encrypt(t, o, certs, true)
			return perdure.Security{TLSCA: certs.CA, TLSCert: certs.Cert, TLSKey: certs.Key}, both(nats.RootCAs(certs.CA), nats.ClientCert(certs.Cert, certs.Key))
		},
		"tls and user": func(t *testing.T, o *server.Options) (perdure.Security, nats.Option) {
			t.Helper()
			encrypt(t, o, certs, false)
			o.Username, o.Password = "u", "p"
			return perdure.Security{TLSCA: certs.CA, User: "u", Password: "p"}, both(nats.RootCAs(certs.CA), nats.UserInfo("u", "p"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			opts := natstest.Options(t.TempDir())
			security, caller := secure(t, opts)
			url := natstest.Start(t, opts).ClientURL()
			start(t, perdure.Config{NATS: []string{url}, Security: security, Name: "a"}, newTally())
			answers(t, url, caller)
			if name == "nobody" {
				return
			}
			if n, err := perdure.Start(t.Context(), perdure.Config{NATS: []string{url}, Name: "b"}, newTally()); err == nil {
				_ = n.Stop()
				t.Error("a stranger gets in")
			}
		})
	}
}

// TestNode_deadServer names three servers, of which one answers.
func TestNode_deadServer(t *testing.T) {
	opts := natstest.Options(t.TempDir())
	opts.Username, opts.Password = "u", "p"
	url := natstest.Start(t, opts).ClientURL()
	nobody := func() string { return fmt.Sprintf("nats://127.0.0.1:%d", natstest.FreePort(t)) }
	start(t, perdure.Config{NATS: []string{nobody(), url, nobody()}, Security: perdure.Security{User: "u", Password: "p"}, Name: "a"}, newTally())
	answers(t, url, nats.UserInfo("u", "p"))
}

// answers checks that a caller gets an answer, and that the runtime describes itself.
func answers(t *testing.T, url string, opt nats.Option) {
	t.Helper()
	nc, err := nats.Connect(url, opt, nats.Timeout(time.Minute))
	fatal(t, err)
	defer nc.Close()
	for subject, payload := range map[string]string{"call.tally.bob.add": `{"n":1}`, "call.tally.$type.$describe": "", "$SRV.PING": ""} {
		m, err := nc.Request(subject, []byte(payload), time.Minute)
		if err != nil || m.Header.Get("Nats-Service-Error-Code") != "" || len(m.Data) == 0 {
			t.Errorf("%s: %+v, %v", subject, m, err)
		}
	}
}

// operated makes the server one of an operator's, and returns the credentials of a user whose account has limits.
func operated(t *testing.T, o *server.Options) []byte {
	t.Helper()
	operator, operatorID := newNKey(t, nkeys.CreateOperator)
	account, accountID := newNKey(t, nkeys.CreateAccount)
	system, systemID := newNKey(t, nkeys.CreateAccount)
	user, userID := newNKey(t, nkeys.CreateUser)

	resolver := &server.MemAccResolver{}
	for id, key := range map[string]nkeys.KeyPair{accountID: account, systemID: system} {
		claims := jwt.NewAccountClaims(id)
		claims.Name = id
		if key == account {
			claims.Limits.JetStreamLimits = jwt.JetStreamLimits{
				MemoryStorage: 16 << 20, DiskStorage: 1 << 30, Streams: 20, Consumer: 100, MaxAckPending: -1,
			}
		}
		text, err := claims.Encode(operator)
		fatal(t, err)
		fatal(t, resolver.Store(id, text))
	}
	trusted := jwt.NewOperatorClaims(operatorID)
	trusted.SystemAccount = systemID
	o.TrustedOperators, o.SystemAccount, o.AccountResolver = []*jwt.OperatorClaims{trusted}, systemID, resolver

	text, err := jwt.NewUserClaims(userID).Encode(account)
	fatal(t, err)
	seed, err := user.Seed()
	fatal(t, err)
	creds, err := jwt.FormatUserConfig(text, seed)
	fatal(t, err)
	return creds
}

func encrypt(t *testing.T, o *server.Options, certs natstest.Certs, verify bool) {
	t.Helper()
	config, err := server.GenTLSConfig(&server.TLSConfigOpts{CertFile: certs.Cert, KeyFile: certs.Key, CaFile: certs.CA, Verify: verify})
	fatal(t, err)
	o.TLSConfig, o.TLS, o.TLSTimeout = config, true, 5
}

func newNKey(t *testing.T, create func() (nkeys.KeyPair, error)) (key nkeys.KeyPair, public string) {
	t.Helper()
	key, err := create()
	fatal(t, err)
	public, err = key.PublicKey()
	fatal(t, err)
	return key, public
}

// both makes one option of two.
func both(a, b nats.Option) nats.Option {
	return func(o *nats.Options) error {
		if err := a(o); err != nil {
			return err
		}
		return b(o)
	}
}

func file(t *testing.T, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	fatal(t, os.WriteFile(path, content, 0o600))
	return path
}

func fatal(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
