package main

import (
	"errors"

	"github.com/pando-agents/pando/actors"
	"github.com/pando-agents/pando/actors/remote"
	"github.com/pando-agents/pando/system"
)

// A stall takes what is said to a seller, be it a Go actor or the Python agent.
type stall interface{ forStall() }

type (
	// offer is one round of a negotiation, from the buyer.
	offer struct {
		actors.Reply[counter] `json:"-"`
		Deal                  string `json:"deal"` // names the negotiation
		Buyer                 string `json:"buyer"`
		Item                  string `json:"item"`
		Cents                 int    `json:"cents"`
		Round                 int    `json:"round"`
	}
	// counter is what the seller says to it. Once it has agreed, it keeps the
	// unit for holdTime.
	counter struct {
		Cents  int    `json:"cents"`
		Agreed bool   `json:"agreed"`
		Unit   string `json:"unit"`
	}
	// handshake buys what was agreed on. It may be repeated.
	handshake struct {
		actors.Reply[sale] `json:"-"`
		Deal               string `json:"deal"`
	}

	// The rest a seller says to itself.
	stocked struct {
		units []string
		err   error
	}
	expired struct{ deal string }
	settled struct {
		deal  string
		reply actors.Reply[sale]
		sale  sale
		err   error
	}
)

func (offer) forStall()     {}
func (handshake) forStall() {}
func (stocked) forStall()   {}
func (expired) forStall()   {}
func (settled) forStall()   {}

// A ledger takes what is said to the bank.
type ledger interface{ forLedger() }

type (
	// account asks what somebody owns.
	account struct {
		actors.Reply[balance] `json:"-"`
		Owner                 string `json:"owner"`
	}
	balance struct {
		Cents  int      `json:"cents"`
		Units  []string `json:"units"`
		Bought []sale   `json:"bought"`
	}
	// settle exchanges a unit for money, both or neither. Somebody buys each item
	// once: settled again, it is the sale of the first time.
	settle struct {
		actors.Reply[sale] `json:"-"`
		sale
	}
	// sale is what has been settled.
	sale struct {
		Buyer  string `json:"buyer"`
		Seller string `json:"seller"`
		Unit   string `json:"unit"`
		Cents  int    `json:"cents"`
	}
	// books asks for all of it.
	books struct {
		actors.Reply[report] `json:"-"`
	}
	report struct {
		Sales  []sale            `json:"sales"`
		Cents  map[string]int    `json:"cents"`
		Owners map[string]string `json:"owners"`
	}
)

func (account) forLedger() {}
func (settle) forLedger()  {}
func (books) forLedger()   {}

// A customer takes what is said to a buyer.
type customer interface{ forCustomer() }

type (
	// shop sends the buyer shopping, and is answered when it has gone home.
	shop struct {
		actors.Reply[struct{}] `json:"-"`
	}
	// home a buyer says to itself.
	home struct{ err error }
)

func (shop) forCustomer() {}
func (home) forCustomer() {}

// An office takes what is said to the clerk.
type office interface{ forOffice() }

// question holds the market: it is answered with the deals. It is what the
// commands for systems ask.
type question struct {
	actors.Reply[system.Answer] `json:"-"`
	Text                        string `json:"text"`
}

func (question) forOffice() {}

// What goes wrong between them.
var (
	errSoldOut  = errors.New("there is none left")
	errEnough   = errors.New("that was the last word")
	errExpired  = errors.New("it is not kept any more")
	errNotOwner = errors.New("the seller does not own it")
	errBooks    = errors.New("the books are wrong")
	errNoMoney  = errors.New("the buyer has not enough money")
)

var stalls = remote.NewProtocol[stall](
	remote.Message[offer]("market.offer"), remote.Message[handshake]("market.handshake"),
	remote.Error("sold_out", errSoldOut), remote.Error("enough", errEnough), remote.Error("expired", errExpired),
	remote.Error("not_owner", errNotOwner), remote.Error("no_money", errNoMoney),
)

var ledgers = remote.NewProtocol[ledger](
	remote.Message[account]("bank.account"), remote.Message[settle]("bank.settle"), remote.Message[books]("bank.books"),
	remote.Error("not_owner", errNotOwner), remote.Error("no_money", errNoMoney),
)

var (
	customers = remote.NewProtocol[customer](remote.Message[shop]("market.shop"))
	offices   = remote.NewProtocol[office](remote.Message[question](system.AskType), remote.Error("wrong_books", errBooks))
)
