package screen

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"text/template/parse"
	"time"
	"unicode/utf8"
)

// tryOut renders every screen in every state and every mail, in every language,
// so that a template that can't be rendered is an error at start and not a page
// that a visitor never sees.
func (l *Look) tryOut() error {
	pageFields := fieldsOf(View{}, LanguageLink{}, Field{}, SessionView{}, AttemptView{}, TokenView{}, AppView{}, SiteLink{}, Moment{})
	for _, screen := range screens {
		for _, t := range l.screens[screen].Templates() {
			if err := l.checkTree(t.Tree, pageFields); err != nil {
				return err
			}
		}
	}
	mailFields := fieldsOf(MailView{})
	for _, t := range l.mails {
		for _, tree := range t.trees() {
			if err := l.checkTree(tree, mailFields); err != nil {
				return err
			}
		}
	}
	for _, words := range l.languages.all {
		for _, v := range l.Samples(words.Lang()) {
			var page strings.Builder
			err := l.Render(&page, v)
			switch text := page.String(); {
			case err != nil:
			case strings.TrimSpace(text) == "":
				err = errors.New("layout.html or " + v.Screen + ".html leaves the page empty")
			case !utf8.ValidString(text):
				err = errors.New("layout.html or " + v.Screen + ".html is not UTF-8; save it so")
			}
			if err != nil {
				return fmt.Errorf("screen %s, state %s: %w", v.Screen, v.State, err)
			}
		}
		for _, letter := range SampleLetters(words.Lang()) {
			m := &Mails{look: l, now: time.Now}
			if _, err := m.Compose(letter); err != nil {
				return err
			}
		}
	}
	return nil
}

func (t mailTemplate) trees() []*parse.Tree {
	var trees []*parse.Tree
	for _, text := range t.text.Templates() {
		trees = append(trees, text.Tree)
	}
	for _, html := range t.html.Templates() {
		trees = append(trees, html.Tree)
	}
	return trees
}

// fieldsOf lists the fields and methods that templates can use of these types.
func fieldsOf(structs ...any) []string {
	var names []string
	for _, s := range structs {
		t := reflect.TypeOf(s)
		for _, f := range reflect.VisibleFields(t) {
			if f.IsExported() {
				names = append(names, f.Name)
			}
		}
		for m := range reflect.PointerTo(t).NumMethod() {
			names = append(names, reflect.PointerTo(t).Method(m).Name)
		}
	}
	return names
}

// checkTree looks for fields and texts that do not exist, also where no sample
// comes by.
func (l *Look) checkTree(tree *parse.Tree, fields []string) error {
	if tree == nil || tree.Root == nil {
		return nil
	}
	var problem error
	walk(tree.Root, func(n parse.Node) {
		if name := fieldName(n); name != "" && !slices.Contains(fields, name) && problem == nil {
			where, _ := tree.ErrorContext(n)
			problem = fmt.Errorf("%s: there is no field .%s; the fields are listed in docs/templates.md", where, name)
		}
		if key := textKey(n); key != "" && !l.languages.all[0].has(key) && problem == nil {
			where, _ := tree.ErrorContext(n)
			problem = fmt.Errorf("%s: there is no text %q; the keys are those of locales/en.json", where, key)
		}
	})
	return problem
}

// fieldName is X of .X and $.X.
func fieldName(n parse.Node) string {
	switch n := n.(type) {
	case *parse.FieldNode:
		return n.Ident[0]
	case *parse.VariableNode:
		if len(n.Ident) > 1 && n.Ident[0] == "$" {
			return n.Ident[1]
		}
	}
	return ""
}

// textKey is the key of {{.T "key"}} and its like.
func textKey(n parse.Node) string {
	c, ok := n.(*parse.CommandNode)
	if !ok || len(c.Args) < 2 || !slices.Contains([]string{"T", "N", "Raw"}, fieldName(c.Args[0])) {
		return ""
	}
	if s, ok := c.Args[1].(*parse.StringNode); ok {
		return s.Text
	}
	return ""
}

// walk visits every node of a template.
func walk(n parse.Node, visit func(parse.Node)) {
	if n == nil || reflect.ValueOf(n).IsNil() {
		return
	}
	visit(n)
	switch n := n.(type) {
	case *parse.ListNode:
		for _, child := range n.Nodes {
			walk(child, visit)
		}
	case *parse.ActionNode:
		walk(n.Pipe, visit)
	case *parse.IfNode:
		walkBranch(&n.BranchNode, visit)
	case *parse.RangeNode:
		walkBranch(&n.BranchNode, visit)
	case *parse.WithNode:
		walkBranch(&n.BranchNode, visit)
	case *parse.TemplateNode:
		walk(n.Pipe, visit)
	case *parse.PipeNode:
		for _, c := range n.Cmds {
			walk(c, visit)
		}
	case *parse.CommandNode:
		for _, arg := range n.Args {
			walk(arg, visit)
		}
	}
}

func walkBranch(b *parse.BranchNode, visit func(parse.Node)) {
	walk(b.Pipe, visit)
	walk(b.List, visit)
	walk(b.ElseList, visit)
}
