package main

import (
	"github.com/spf13/cobra"

	"github.com/pando-agents/pando/examples/researchteam/research"
	"github.com/pando-agents/pando/system"
	"github.com/pando-agents/pando/system/systemcmd"
)

// system are the commands for system files, with the constructors of the examples.
func (a *app) system() *cobra.Command {
	catalogue := new(system.Catalogue)
	research.Register(catalogue)
	c := systemcmd.New(catalogue)
	for _, child := range c.Commands() {
		a.does(child, child.RunE)
	}
	return c
}
