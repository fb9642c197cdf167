package identity

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// The variables that credentials are read from and written to. All but the
// last are those of the Python SDK and its command line.
const (
	EnvRegistryURL    = "AUTHED_REGISTRY_URL"
	EnvAgentID        = "AUTHED_AGENT_ID"
	EnvAgentSecret    = "AUTHED_AGENT_SECRET"
	EnvPrivateKey     = "AUTHED_PRIVATE_KEY"
	EnvPublicKey      = "AUTHED_PUBLIC_KEY"
	EnvProviderID     = "AUTHED_PROVIDER_ID"
	EnvProviderSecret = "AUTHED_PROVIDER_SECRET"
	EnvCAFile         = "AUTHED_CA_FILE"
)

const maxEnvFile = 1 << 20

// FromEnv reads credentials from the AUTHED_ variables and validates them.
// lookup is os.LookupEnv or a function like it. AUTHED_PUBLIC_KEY is optional,
// but has to fit AUTHED_PRIVATE_KEY; line breaks in both may be written as \n.
// The error is ErrInvalidCredentials or ErrInvalidKey.
func FromEnv(lookup func(name string) (string, bool)) (Credentials, error) {
	get := func(name string) string {
		v, _ := lookup(name)
		return strings.TrimSpace(v)
	}
	c := Credentials{
		RegistryURL: get(EnvRegistryURL),
		AgentID:     get(EnvAgentID), AgentSecret: get(EnvAgentSecret),
		ProviderID: get(EnvProviderID), ProviderSecret: get(EnvProviderSecret),
		CAFile: get(EnvCAFile),
	}
	private, public := get(EnvPrivateKey), get(EnvPublicKey)
	if private == "" && public != "" {
		return Credentials{}, fail(ErrInvalidCredentials, "read credentials", "%s without %s", EnvPublicKey, EnvPrivateKey)
	}
	if private != "" {
		var err error
		if c.Key, err = matchingKey(private, public); err != nil {
			return Credentials{}, err
		}
	}
	if err := c.Validate(); err != nil {
		return Credentials{}, err
	}
	return c, nil
}

func matchingKey(private, public string) (*Key, error) {
	lines := strings.NewReplacer(`\r`, "", `\n`, "\n")
	key, err := ParsePrivateKey(lines.Replace(private))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", EnvPrivateKey, err)
	}
	if public == "" {
		return key, nil
	}
	pub, err := ParsePublicKey(lines.Replace(public))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", EnvPublicKey, err)
	}
	if !pub.Equal(key.Public()) {
		return nil, fail(ErrInvalidCredentials, "read credentials", "%s does not belong to %s", EnvPublicKey, EnvPrivateKey)
	}
	return key, nil
}

// FromFile reads credentials from a .env file alone. A missing file is an
// error that matches fs.ErrNotExist; other errors are as for FromEnv.
func FromFile(path string) (Credentials, error) {
	return load(path, func(string) (string, bool) { return "", false })
}

// Load reads credentials from the environment and, for variables that are not
// set there, from the .env file at path, which need not exist. It is what the
// Python SDK does at its start. Errors are as for FromEnv.
func Load(path string, lookup func(name string) (string, bool)) (Credentials, error) {
	c, err := load(path, lookup)
	if errors.Is(err, fs.ErrNotExist) {
		return FromEnv(lookup)
	}
	return c, err
}

func load(path string, environ func(string) (string, bool)) (Credentials, error) {
	statements, err := readDotenv(path)
	if err != nil {
		return Credentials{}, err
	}
	values := map[string]string{}
	lookup := func(name string) (string, bool) {
		if v, ok := environ(name); ok {
			return v, true
		}
		v, ok := values[name]
		return v, ok
	}
	for _, s := range statements {
		if s.name == "" {
			continue
		}
		if s.expand {
			s.value = expandValue(s.value, lookup)
		}
		values[s.name] = s.value
	}
	return FromEnv(lookup)
}

func readDotenv(path string) ([]statement, error) {
	const op = "read credentials file"
	f, err := os.Open(path)
	if err != nil {
		return nil, fail(ErrInvalidCredentials, op, "%w", err)
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, maxEnvFile+1))
	if err != nil {
		return nil, fail(ErrInvalidCredentials, op, "%w", err)
	}
	if len(text) > maxEnvFile {
		return nil, fail(ErrInvalidCredentials, op, "%s is longer than %d bytes", path, maxEnvFile)
	}
	statements, err := parseDotenv(string(text))
	if err != nil {
		return nil, fail(ErrInvalidCredentials, op, "%s: %w", path, err)
	}
	return statements, nil
}

// WriteFile puts credentials into the .env file at path, readable by its owner
// only, in a form that the Python SDK reads too. Everything else in an existing
// file is kept as it is, and so are variables of credentials that c leaves
// empty: a provider's secret is shown only once and must not get lost. The file
// is replaced in one step; after an error the old one is untouched.
func (c Credentials) WriteFile(path string) error {
	const op = "write credentials file"
	if err := c.Validate(); err != nil {
		return err
	}
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	old, err := readDotenv(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	set, order, err := c.variables()
	if err != nil {
		return err
	}
	var b strings.Builder
	for _, s := range old {
		if _, replaced := set[s.name]; replaced || s.raw == envTitle {
			continue
		}
		b.WriteString(s.raw)
	}
	if text := b.String(); text != "" && !strings.HasSuffix(text, "\n\n") {
		b.WriteString(strings.Repeat("\n", 2-len(text)+len(strings.TrimSuffix(text, "\n"))))
	}
	b.WriteString(envTitle)
	for _, name := range order {
		if v := set[name]; v != "" {
			b.WriteString(quoteDotenv(name, v))
		}
	}
	if err := replaceFile(path, b.String()); err != nil {
		return fail(ErrInvalidCredentials, op, "%w", err)
	}
	return nil
}

const envTitle = "# Authed Configuration\n"

// Variables returns the AUTHED_ variables that FromEnv reads c from, by name: the
// environment of a program that is this agent. The values hold secrets.
func (c Credentials) Variables() (map[string]string, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	set, _, err := c.variables()
	return set, err
}

// variables returns what WriteFile sets, by name and in the order of the file.
func (c Credentials) variables() (map[string]string, []string, error) {
	order := []string{
		EnvRegistryURL, EnvProviderID, EnvProviderSecret, EnvAgentID, EnvAgentSecret, EnvPrivateKey, EnvPublicKey, EnvCAFile,
	}
	set := map[string]string{}
	for name, v := range map[string]string{
		EnvRegistryURL: c.RegistryURL, EnvProviderID: c.ProviderID, EnvProviderSecret: c.ProviderSecret,
		EnvAgentID: c.AgentID, EnvAgentSecret: c.AgentSecret, EnvCAFile: c.CAFile,
	} {
		if v != "" {
			set[name] = v
		}
	}
	if c.Key != nil {
		private, err := c.Key.PrivatePEM()
		if err != nil {
			return nil, nil, err
		}
		set[EnvPrivateKey], set[EnvPublicKey] = private, c.Key.Public().PEM()
	}
	return set, order, nil
}

// replaceFile writes text to a new file beside path, flushes it to the disk and renames it.
func replaceFile(path, text string) (err error) {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, filepath.Base(path)+".*.tmp") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = f.Close()
			_ = os.Remove(f.Name())
		}
	}()
	if _, err = f.WriteString(text); err != nil {
		return err
	}
	if err = f.Sync(); err != nil {
		return err
	}
	if err = f.Close(); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return nil // renamed already; such a directory just cannot be flushed
	}
	_ = d.Sync()
	_ = d.Close()
	return nil
}
