package system

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"syscall"

	"github.com/pando-agents/pando/identity"
	"github.com/pando-agents/pando/identity/server"
)

// ownRegistry is the identity registry of a system, run by this process.
type ownRegistry struct {
	server *server.Server
	addr   string // where it listens
	stop   context.CancelFunc
	ended  chan error
}

// close stops the registry and waits for it.
func (r *ownRegistry) close() error {
	if r == nil {
		return nil
	}
	r.stop()
	return errors.Join(<-r.ended, r.server.Close())
}

// openRegistry runs a registry on listen. Its store is in memory unless it is to
// be kept; the authority of its certificate is in dir in any case.
func openRegistry(ctx context.Context, f *File, dir, listen string, keep bool, log *slog.Logger) (*ownRegistry, error) {
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", listen)
	if err != nil {
		return nil, fmt.Errorf("identity registry: %w", err)
	}
	o := server.Options{Issuer: f.Registry.Issuer, Logger: log}
	if keep {
		o.Dir = filepath.Join(dir, registryDir)
	}
	srv, err := server.New(ctx, o)
	if err != nil {
		return nil, errors.Join(err, ln.Close())
	}
	host, _, _ := net.SplitHostPort(listen)
	hosts := []string{}
	if host != "" {
		hosts = append(hosts, host)
	}
	conf, ca, err := server.DevTLS(filepath.Join(dir, registryDir), hosts)
	if err == nil {
		err = copyFile(ca, filepath.Join(dir, caFile))
	}
	if err != nil {
		return nil, errors.Join(err, ln.Close(), srv.Close())
	}
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	r := &ownRegistry{server: srv, addr: ln.Addr().String(), stop: stop, ended: make(chan error, 1)}
	if host != "" {
		_, port, _ := net.SplitHostPort(r.addr)
		r.addr = net.JoinHostPort(host, port)
	}
	go func() { r.ended <- srv.Serve(serving, ln, conf) }()
	return r, nil
}

func copyFile(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return fmt.Errorf("copy the authority: %w", err)
	}
	if err := os.WriteFile(to, data, 0o644); err != nil {
		return fmt.Errorf("copy the authority: %w", err)
	}
	return nil
}

// base are the URL and the authority of the system's registry, which listens
// there if it is its own.
func (f *File) base(dir, listen string) (identity.Credentials, error) {
	if f.Registry.URL != "" {
		c := identity.Credentials{RegistryURL: f.Registry.URL}
		if f.Registry.CA != "" {
			ca := f.relative(f.Registry.CA)
			if err := copyFile(ca, filepath.Join(dir, caFile)); err != nil {
				return c, err
			}
			c.CAFile = filepath.Join(dir, caFile)
		}
		return c, nil
	}
	host, port, _ := net.SplitHostPort(listen)
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	u := url.URL{Scheme: "https", Host: net.JoinHostPort(host, port)}
	return identity.Credentials{RegistryURL: u.String(), CAFile: filepath.Join(dir, caFile)}, nil
}

// relative finds a file that the system file names: from where that is.
func (f *File) relative(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(filepath.Dir(f.Path), path)
}

// busy reports whether somebody listens there already.
func busy(err error) bool { return errors.Is(err, syscall.EADDRINUSE) }
