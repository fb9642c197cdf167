package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pando-agents/pando/identity"
)

// setupFlags is what init setup can be told.
type setupFlags struct {
	registryURL, ca, name, keyType string
	providerID, providerSecret     string
	envFile                        string
	json                           bool
	about                          aboutFlags
	announcement                   identity.Announcement
}

func (a *app) initSetup() *cobra.Command {
	c := &cobra.Command{
		Use: "setup --registry-url URL --env-file FILE", Short: "Register an agent and write its .env file", Args: cobra.NoArgs,
		Long: "Register a provider, unless one is given or in the file, and an agent with a fresh key, and write all of it\n" +
			"to a .env file that only its owner can read. A file that has an agent already is left as it is;\n" +
			"'pando agents announce' changes what others may know about it.",
		Example: "  pando init setup --registry-url https://127.0.0.1:8443 --ca ./registry/tls/ca.pem --name alice --env-file alice.env",
	}
	f := &setupFlags{}
	c.Flags().StringVar(&f.registryURL, "registry-url", "", "URL of the identity registry")
	c.Flags().StringVar(&f.ca, "ca", "", "file of a certificate authority to trust for the registry")
	c.Flags().StringVar(&f.name, "name", "", "name of the agent")
	c.Flags().StringVar(&f.keyType, "key-type", "rsa", "rsa, which the Python SDK can use too, or ed25519")
	c.Flags().StringVar(&f.providerID, "provider-id", "", "provider that the agent is to belong to (default: a new one)")
	c.Flags().StringVar(&f.providerSecret, "provider-secret", "", "secret of that provider")
	c.Flags().StringVar(&f.envFile, "env-file", "", "file to write")
	f.about.add(c)
	c.Flags().BoolVar(&f.json, "json", false, "print the ids as JSON")
	c.MarkFlagsRequiredTogether("provider-id", "provider-secret")
	_ = c.MarkFlagRequired("registry-url")
	_ = c.MarkFlagRequired("env-file")
	return a.does(c, func(c *cobra.Command, _ []string) (err error) {
		if f.announcement, err = f.about.announcement(c); err != nil {
			return err
		}
		return a.setup(c.Context(), f)
	})
}

func (a *app) setup(ctx context.Context, f *setupFlags) error {
	kind, known := map[string]identity.KeyType{"rsa": identity.KeyRSA, "ed25519": identity.KeyEd25519}[f.keyType]
	if !known {
		return usagef("--key-type is rsa or ed25519, not %q", f.keyType)
	}
	have, wanted, err := f.credentials()
	if err != nil {
		return err
	}
	if have.AgentID != "" {
		return a.saySetup(f, have, false)
	}
	// The file comes first: a secret that cannot be kept must not be asked for.
	if err := wanted.WriteFile(f.envFile); err != nil {
		return err
	}
	defer a.waiting("the identity registry at " + f.registryURL)()
	if wanted.ProviderID == "" {
		if err := a.addProvider(ctx, f, &wanted); err != nil {
			return err
		}
	}
	if err := a.addAgent(ctx, f, kind, &wanted); err != nil {
		return err
	}
	return a.saySetup(f, wanted, true)
}

// credentials returns what the file has, and that with what the flags add.
func (f *setupFlags) credentials() (have, wanted identity.Credentials, err error) {
	have, err = f.read()
	if err != nil {
		return have, wanted, fmt.Errorf("%s: %w", f.envFile, err)
	}
	wanted = have
	if wanted.RegistryURL == "" {
		wanted.RegistryURL = f.registryURL
	}
	if strings.TrimRight(wanted.RegistryURL, "/") != strings.TrimRight(f.registryURL, "/") {
		return have, wanted, fmt.Errorf("%s belongs to the registry %s: use another file", f.envFile, have.RegistryURL)
	}
	if f.providerID != "" {
		if have.ProviderID != "" && have.ProviderID != f.providerID {
			return have, wanted, fmt.Errorf("%s belongs to the provider %s: use another file", f.envFile, have.ProviderID)
		}
		wanted.ProviderID, wanted.ProviderSecret = f.providerID, f.providerSecret
	}
	if f.ca != "" {
		// The file may be used from another directory.
		if wanted.CAFile, err = filepath.Abs(f.ca); err != nil {
			return have, wanted, fmt.Errorf("find the certificate authority: %w", err)
		}
	}
	if err := wanted.Validate(); err != nil {
		return have, wanted, usagef("%s", err)
	}
	return have, wanted, nil
}

// read returns the credentials in the file, none if there are none: it may not
// be there yet, or hold nothing but variables of other programs.
func (f *setupFlags) read() (identity.Credentials, error) {
	c, err := identity.FromFile(f.envFile)
	if err == nil {
		return c, nil
	}
	if errors.Is(err, fs.ErrNotExist) {
		return identity.Credentials{}, nil
	}
	// Whatever else is wrong stays wrong with a registry given.
	c, with := identity.Load(f.envFile, func(name string) (string, bool) {
		return f.registryURL, name == identity.EnvRegistryURL
	})
	if with == nil && c.AgentID == "" && c.ProviderID == "" {
		return identity.Credentials{}, nil
	}
	return identity.Credentials{}, err
}

func (a *app) client(c identity.Credentials) (*identity.Client, error) {
	return identity.NewClient(identity.ClientOptions{Credentials: c, Logger: a.logger(slog.LevelError)})
}

// addProvider registers a provider and keeps its secret before anything else is
// done: it is told only once.
func (a *app) addProvider(ctx context.Context, f *setupFlags, c *identity.Credentials) error {
	client, err := a.client(*c)
	if err != nil {
		return err
	}
	defer client.Close()
	p, err := client.RegisterProvider(ctx, "", "")
	if err != nil {
		return err
	}
	c.ProviderID, c.ProviderSecret = p.ID, p.Secret
	if err := c.WriteFile(f.envFile); err != nil {
		return fmt.Errorf("the provider %s was registered, but its secret could not be kept: %w", p.ID, err)
	}
	return nil
}

// addAgent registers an agent with a fresh key and writes both to the file.
func (a *app) addAgent(ctx context.Context, f *setupFlags, kind identity.KeyType, c *identity.Credentials) error {
	key, err := identity.GenerateKey(kind, nil)
	if err != nil {
		return fmt.Errorf("make a key: %w", err)
	}
	client, err := a.client(*c)
	if err != nil {
		return err
	}
	defer client.Close()
	id, secret, err := client.RegisterAgent(ctx, f.name, key.Public(), false, f.announcement)
	if err != nil {
		return fmt.Errorf("%w (the provider is in %s: the same command goes on from there)", err, f.envFile)
	}
	c.AgentID, c.AgentSecret, c.Key = id, secret, key
	if err := c.WriteFile(f.envFile); err != nil {
		return fmt.Errorf("the agent %s was registered, but its secret could not be kept: %w", id, err)
	}
	return nil
}

func (a *app) saySetup(f *setupFlags, c identity.Credentials, changed bool) error {
	if f.json {
		return a.sayJSON(map[string]any{
			"agent_id": c.AgentID, "provider_id": c.ProviderID, "env_file": f.envFile, "changed": changed,
		})
	}
	if !changed {
		a.say("%s has an agent already: nothing changed", f.envFile)
	}
	a.say("agent: %s", c.AgentID)
	if c.ProviderID != "" {
		a.say("provider: %s", c.ProviderID)
	}
	if changed {
		a.say("secrets and key: %s (mode 0600; keep it out of version control)", f.envFile)
	}
	return nil
}
