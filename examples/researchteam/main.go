// Command researchteam is a team of agents that answers a question while its
// agents are killed. README.md says how to run it, and how to plug a real language
// model in.
package main

import (
	"os"

	"github.com/pando-agents/pando/examples/researchteam/research"
	"github.com/pando-agents/pando/system"
	"github.com/pando-agents/pando/system/systemcmd"
)

func main() {
	catalogue := new(system.Catalogue)
	research.Register(catalogue)
	os.Exit(systemcmd.Main(catalogue))
}
