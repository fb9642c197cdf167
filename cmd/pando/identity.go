package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/pando-agents/pando/identity/server"
)

// identityFlags is what identity serve can be told.
type identityFlags struct {
	endpoint
	data, issuer, adminKeyFile string
	devTLS, json               bool
	tokenTTL                   time.Duration
	publicURLs                 []string
}

func (a *app) identityServe() *cobra.Command {
	c := &cobra.Command{
		Use: "serve --addr HOST:PORT --data DIR", Short: "Run an identity registry", Args: cobra.NoArgs,
		Long: "Run an identity registry until it gets SIGINT or SIGTERM. The database and the keys are in the data\n" +
			"directory. Without TLS it only listens on a loopback address.",
		Example: "  pando identity serve --addr 127.0.0.1:8443 --data ./registry --tls-dev",
	}
	f := &identityFlags{}
	c.Flags().StringVar(&f.addr, "addr", "127.0.0.1:8443", "address to listen on")
	c.Flags().StringVar(&f.data, "data", "", "directory of the database and the keys")
	c.Flags().BoolVar(&f.devTLS, "tls-dev", false, "make certificates for this machine; their authority is DIR/tls/ca.pem")
	c.Flags().StringVar(&f.cert, "tls-cert", "", "file of the certificate chain")
	c.Flags().StringVar(&f.key, "tls-key", "", "file of the certificate's key")
	c.Flags().StringVar(&f.issuer, "issuer", "", `issuer named in tokens (default "pando")`)
	c.Flags().DurationVar(&f.tokenTTL, "token-ttl", 30*time.Minute, "how long a token lives")
	c.Flags().StringArrayVar(&f.publicURLs, "public-url", nil, "URL under which agents reach the registry; may be repeated")
	c.Flags().StringVar(&f.adminKeyFile, "admin-key-file", "", "file with the operator's key")
	c.Flags().BoolVar(&f.json, "json", false, "print where it listens as JSON")
	c.MarkFlagsMutuallyExclusive("tls-dev", "tls-cert")
	c.MarkFlagsMutuallyExclusive("tls-dev", "tls-key")
	_ = c.MarkFlagRequired("data")
	return a.does(c, func(c *cobra.Command, _ []string) error { return a.serveIdentity(c.Context(), f) })
}

func (a *app) serveIdentity(ctx context.Context, f *identityFlags) error {
	if err := f.check(f.devTLS, "give --tls-cert and --tls-key, or --tls-dev"); err != nil {
		return err
	}
	log := a.logger(slog.LevelInfo)
	opts := server.Options{Dir: f.data, Issuer: f.issuer, TokenTTL: f.tokenTTL, PublicURLs: f.publicURLs, Logger: log}
	var err error
	if f.adminKeyFile != "" {
		if opts.AdminKey, err = readSecret("the operator's key", f.adminKeyFile); err != nil {
			return err
		}
	}
	ln, err := f.listen(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = ln.Close() }() // closed already after Serve
	registry, err := server.New(ctx, opts)
	switch {
	case errors.Is(err, server.ErrOptions):
		return usagef("%s", err)
	case err != nil:
		return fmt.Errorf("open the registry: %w", err)
	}
	defer quietly(log, "the store", registry.Close)
	conf, ca, err := f.certificates()
	if err != nil {
		return err
	}
	if err := a.sayIdentity(f, ln, conf != nil, ca); err != nil {
		return err
	}
	return registry.Serve(ctx, ln, conf)
}

// certificates returns the TLS configuration, and the file of the authority
// behind it if that is one of our own.
func (f *identityFlags) certificates() (*tls.Config, string, error) {
	if !f.devTLS {
		conf, err := f.tls()
		return conf, "", err
	}
	var hosts []string
	if host, _, _ := net.SplitHostPort(f.addr); host != "" {
		hosts = append(hosts, host)
	}
	for _, text := range f.publicURLs {
		if u, err := url.Parse(text); err == nil && u.Hostname() != "" {
			hosts = append(hosts, u.Hostname())
		}
	}
	conf, ca, err := server.DevTLS(f.data, hosts)
	if err != nil {
		return nil, "", err
	}
	ca, err = filepath.Abs(ca)
	return conf, ca, err
}

// sayIdentity prints what a user needs next.
func (a *app) sayIdentity(f *identityFlags, ln net.Listener, encrypted bool, ca string) error {
	scheme := "http"
	if encrypted {
		scheme = "https"
	}
	base := f.base(scheme, ln)
	if len(f.publicURLs) > 0 {
		base = f.publicURLs[0]
	}
	if f.json {
		return a.sayJSON(struct {
			URL string `json:"url"`
			CA  string `json:"ca_file,omitempty"`
		}{base, ca})
	}
	a.say("identity registry: %s", base)
	trust := ""
	if ca != "" {
		trust = " --ca " + ca
		a.say("certificate authority: %s", ca)
		a.say("  Pando trusts it with --ca, or with AUTHED_CA_FILE; the Python SDK with SSL_CERT_FILE and REQUESTS_CA_BUNDLE.")
	}
	a.say("next: pando init setup --registry-url %s%s --env-file .env", base, trust)
	return nil
}

// readSecret reads a file that only its owner may read.
func readSecret(what, path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("read %s: %w", what, err)
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil {
		return "", fmt.Errorf("read %s: %w", what, err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return "", fmt.Errorf("%s can be read by others (mode %04o): set it to 0600", path, mode)
	}
	text, err := io.ReadAll(io.LimitReader(file, 4096))
	if err != nil {
		return "", fmt.Errorf("read %s: %w", what, err)
	}
	return strings.TrimSpace(string(text)), nil
}
