package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pando-agents/pando"
	"github.com/pando-agents/pando/identity"
)

// load reads credentials from the environment and from a file that has to be
// there if it was named.
func load(c *cobra.Command, path string) (identity.Credentials, error) {
	if c.Flags().Changed("env-file") {
		if _, err := os.Stat(path); err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return identity.Credentials{}, fmt.Errorf("%s does not exist: 'pando init setup' makes it", path)
			}
			return identity.Credentials{}, fmt.Errorf("read credentials: %w", err)
		}
	}
	credentials, err := pando.CredentialsFromEnv(path)
	if err != nil {
		return credentials, fmt.Errorf("%s: %w", path, err)
	}
	return credentials, nil
}

func envFile(c *cobra.Command) *string {
	return c.Flags().String("env-file", ".env", "file with the credentials; the environment goes first")
}

func (a *app) permissionsGrant() *cobra.Command {
	return a.changePermission("grant", "Let an agent, or all agents of a provider, talk to an agent",
		func(ctx context.Context, c *identity.Client, id string, p identity.Permission) ([]identity.Permission, error) {
			return c.ChangePermissions(ctx, id, []identity.Permission{p}, nil)
		})
}

func (a *app) permissionsRevoke() *cobra.Command {
	return a.changePermission("revoke", "Take a permission away",
		func(ctx context.Context, c *identity.Client, id string, p identity.Permission) ([]identity.Permission, error) {
			return c.ChangePermissions(ctx, id, nil, []identity.Permission{p})
		})
}

type permissionChange func(ctx context.Context, c *identity.Client, id string, p identity.Permission) ([]identity.Permission, error)

func (a *app) changePermission(verb, short string, change permissionChange) *cobra.Command {
	c := &cobra.Command{
		Use: verb + " AGENT_ID --type allow_agent|allow_provider --target-id ID", Short: short, Args: cobra.ExactArgs(1),
		Long:    short + ". Two agents can talk when each permits the other; the credentials are\nthose of the provider that the agent belongs to.",
		Example: "  pando permissions " + verb + " $ALICE --type allow_agent --target-id $BOB --env-file alice.env",
	}
	var p identity.Permission
	c.Flags().StringVar(&p.Type, "type", "", "allow_agent or allow_provider")
	c.Flags().StringVar(&p.TargetID, "target-id", "", "id of the agent or the provider")
	file := envFile(c)
	asJSON := c.Flags().Bool("json", false, "print all permissions that the agent has now as JSON")
	_ = c.MarkFlagRequired("type")
	_ = c.MarkFlagRequired("target-id")
	return a.does(c, func(c *cobra.Command, args []string) error {
		if p.Type != identity.AllowAgent && p.Type != identity.AllowProvider {
			return usagef("--type is allow_agent or allow_provider, not %q", p.Type)
		}
		all, err := a.permissions(c, *file, func(ctx context.Context, client *identity.Client) ([]identity.Permission, error) {
			return change(ctx, client, args[0], p)
		})
		if err != nil {
			return err
		}
		if *asJSON {
			return a.sayJSON(all)
		}
		a.say("%s: %s %s %s", args[0], map[string]string{"grant": "granted", "revoke": "revoked"}[verb], p.Type, p.TargetID)
		return nil
	})
}

func (a *app) permissionsList() *cobra.Command {
	c := &cobra.Command{
		Use: "list AGENT_ID", Short: "List whom an agent permits", Args: cobra.ExactArgs(1),
		Example: "  pando permissions list $ALICE --env-file alice.env --json",
	}
	file := envFile(c)
	asJSON := c.Flags().Bool("json", false, "print a JSON array")
	return a.does(c, func(c *cobra.Command, args []string) error {
		all, err := a.permissions(c, *file, func(ctx context.Context, client *identity.Client) ([]identity.Permission, error) {
			return client.Permissions(ctx, args[0])
		})
		if err != nil {
			return err
		}
		if *asJSON {
			return a.sayJSON(all)
		}
		for _, p := range all {
			a.say("%s %s", strings.TrimSpace(p.Type), p.TargetID)
		}
		return nil
	})
}

// permissions asks the identity registry as the provider in the file.
func (a *app) permissions(c *cobra.Command, file string,
	change func(context.Context, *identity.Client) ([]identity.Permission, error)) ([]identity.Permission, error) {
	all, err := ask(a, c, file, change)
	if all == nil {
		all = []identity.Permission{} // an empty list in JSON too
	}
	return all, err
}

// ask asks the identity registry with the credentials in the file.
func ask[T any](a *app, c *cobra.Command, file string, question func(context.Context, *identity.Client) (T, error)) (T, error) {
	var none T
	credentials, err := load(c, file)
	if err != nil {
		return none, err
	}
	client, err := a.client(credentials)
	if err != nil {
		return none, err
	}
	defer client.Close()
	defer a.waiting("the identity registry at " + credentials.RegistryURL)()
	return question(c.Context(), client)
}
