package main

import (
	"context"
	"log/slog"
	"net"

	"github.com/spf13/cobra"

	"github.com/pando-agents/pando"
)

// adminFlags is where an agent shows itself, and to whom.
type adminFlags struct {
	endpoint
	tokenFile, token string
}

func (f *adminFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&f.addr, "admin", "", "address to show the agent's tree at, for 'pando inspect'; off by default")
	c.Flags().StringVar(&f.tokenFile, "admin-token-file", "", "file with the token that those who look have to give")
}

// minToken is the least length of a token: nobody counts wrong guesses.
const minToken = 16

// check also reads the token. Beyond loopback the certificate is that of the
// agent.
func (f *adminFlags) check(agent endpoint) (err error) {
	switch {
	case f.addr == "" && f.tokenFile != "":
		return usagef("--admin-token-file needs --admin")
	case f.addr == "":
		return nil
	}
	if f.tokenFile != "" {
		if f.token, err = readSecret("the admin token", f.tokenFile); err != nil {
			return err
		}
		if len(f.token) < minToken {
			return usagef("the admin token has fewer than %d characters", minToken)
		}
	}
	host, _, err := net.SplitHostPort(f.addr)
	switch {
	case err != nil:
		return usagef("--admin is HOST:PORT: %s", err)
	case loopback(host):
	case f.token == "":
		return usagef("--admin %s is not a loopback address: give --admin-token-file", f.addr)
	case agent.cert == "":
		return usagef("--admin %s is not a loopback address: the token needs --tls-cert and --tls-key", f.addr)
	default:
		f.cert, f.key = agent.cert, agent.key
	}
	return nil
}

// listen returns the server of the admin handler, nil if there is to be none.
func (f *adminFlags) listen(ctx context.Context, agent *pando.Agent, log *slog.Logger) (*listening, error) {
	if f.addr == "" {
		return nil, nil
	}
	conf, err := f.tls()
	if err != nil {
		return nil, err
	}
	ln, err := f.endpoint.listen(ctx)
	if err != nil {
		return nil, err
	}
	return &listening{newServer(agent.Admin(f.token), conf, log), ln}, nil
}

func (f *adminFlags) url(s *listening) string {
	switch {
	case s == nil:
		return ""
	case f.cert != "":
		return f.base("https", s.ln)
	}
	return f.base("http", s.ln)
}
