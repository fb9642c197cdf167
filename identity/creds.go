package identity

import (
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"strings"

	"github.com/google/uuid"
)

// Credentials are what an agent, or a provider at the command line, needs to
// use an identity registry. They print without their secrets.
type Credentials struct {
	RegistryURL    string // absolute http or https URL of the identity registry, a path is kept
	AgentID        string // UUIDv4; AgentID, AgentSecret and Key come together
	AgentSecret    string `json:"-"`
	Key            *Key   `json:"-"`
	ProviderID     string // UUIDv4; ProviderID and ProviderSecret come together
	ProviderSecret string `json:"-"`
	CAFile         string // PEM file of further authorities to trust for the identity registry, may be empty
}

// Validate checks that RegistryURL is usable, that ids are UUIDv4 in lower
// case, and that the agent's three values and the provider's two are all there
// or all absent. The error is ErrInvalidCredentials.
func (c Credentials) Validate() error {
	const op = "check credentials"
	u, err := url.Parse(c.RegistryURL)
	if c.RegistryURL == "" || err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") {
		return fail(ErrInvalidCredentials, op, "the registry url is missing or is not an http(s) url")
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return fail(ErrInvalidCredentials, op, "the registry url has user information, a query or a fragment")
	}
	agent := []bool{c.AgentID != "", c.AgentSecret != "", c.Key != nil}
	provider := []bool{c.ProviderID != "", c.ProviderSecret != ""}
	for i, id := range []struct {
		what, value string
		parts       []bool
	}{{"agent", c.AgentID, agent}, {"provider", c.ProviderID, provider}} {
		n := 0
		for _, set := range id.parts {
			if set {
				n++
			}
		}
		if n != 0 && n != len(id.parts) {
			return fail(ErrInvalidCredentials, op, "partial %s credentials: need %s together",
				id.what, []string{"id, secret and private key", "id and secret"}[i])
		}
		if n != 0 && !isUUIDv4(id.value) {
			return fail(ErrInvalidCredentials, op, "the %s id is not a UUIDv4 in lower case", id.what)
		}
	}
	for _, secret := range []string{c.AgentSecret, c.ProviderSecret} {
		if strings.ContainsFunc(secret, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return fail(ErrInvalidCredentials, op, "a secret holds characters that no header can carry")
		}
	}
	return nil
}

func (c Credentials) hasAgent() bool { return c.AgentID != "" && c.AgentSecret != "" && c.Key != nil }

func isUUIDv4(s string) bool {
	u, err := uuid.Parse(s)
	return err == nil && u.Version() == 4 && u.String() == s
}

// String names the registry, the agent and the provider, without secrets.
func (c Credentials) String() string {
	return fmt.Sprintf("credentials for %s: agent %q (%v), provider %q", c.RegistryURL, c.AgentID, c.Key, c.ProviderID)
}

// Format writes String whatever the verb, so that no verb shows a secret.
func (c Credentials) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.String()) }

// LogValue is String.
func (c Credentials) LogValue() slog.Value { return slog.StringValue(c.String()) }
