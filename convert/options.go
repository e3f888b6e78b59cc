package convert

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// oauth2-proxy takes the same options in three ways, and a file may hold any:
//
//	email_domains = ["example.com"]                  the file of --config
//	OAUTH2_PROXY_EMAIL_DOMAINS=example.com           a file of environment variables
//	--email-domain=example.com                       arguments, one a line, as a list in YAML too
//
// An option that may be repeated has an s in the first two and none as an argument.
var optionForms = []*regexp.Regexp{
	regexp.MustCompile(`^([a-z][a-z0-9_]*)\s*=\s*(.*)$`),
	regexp.MustCompile(`^(?:export\s+|-\s+)?"?OAUTH2_PROXY_([A-Z0-9_]+)\s*[=:]\s*(.*?)"?$`),
	regexp.MustCompile(`^(?:-\s+)?["']?--?([a-z][a-z0-9_-]*)(?:[= ](.*?))?["']?,?\s*\\?$`),
}

// lists are the options that may be repeated; as arguments they have no s.
var lists = strings.Fields(`
	email_domains upstreams cookie_domains whitelist_domains skip_auth_routes skip_auth_regex trusted_ips trusted_proxy_ips api_routes extra_jwt_issuers
	allowed_groups allowed_roles allowed_emails google_groups github_users gitlab_groups gitlab_projects keycloak_groups entra_id_allowed_tenants
	oidc_audience_claims oidc_extra_audiences oidc_public_key_files oidc_enabled_signing_algs provider_ca_files htpasswd_user_groups tls_cipher_suites
	redis_cluster_connection_urls redis_sentinel_connection_urls`)

// around is what may stand around arguments: the program, its image, the key above them.
var around = regexp.MustCompile(`^(?:-\s+)?(?:[\w.-]+:|(?:(?:image|name|container_name|hostname|command|entrypoint):\s*|ExecStart=|exec\s+)?["']?[\w./:@-]*oauth2-proxy[\w./:@-]*["']?\s*\\?)$`)

func readOptions(file, text string) (*tree, error) {
	root := &tree{file: file, line: 1}
	lines := strings.Split(text, "\n")
	for i := 0; i < len(lines); i++ {
		at, line := i+1, strings.TrimSpace(lines[i])
		if line == "" || line[0] == '#' || line == "---" {
			continue
		}
		name, value, form := "", "", -1
		for n, re := range optionForms {
			if m := re.FindStringSubmatch(line); m != nil {
				name, value, form = strings.ReplaceAll(strings.ToLower(m[1]), "-", "_"), strings.TrimSpace(m[2]), n
				break
			}
		}
		if form < 0 {
			if around.MatchString(line) {
				continue
			}
			return nil, fmt.Errorf("%s:%d: this is no option of oauth2-proxy, each on a line of its own, as in email_domains = [\"example.com\"], OAUTH2_PROXY_EMAIL_DOMAINS=example.com or --email-domain=example.com", file, at)
		}
		if form == 2 && another.MatchString(value) {
			return nil, fmt.Errorf("%s:%d: %s: another argument follows on its line: write each on one of its own", file, at, name)
		}
		if form == 1 && strings.Trim(value, `"'`) == "" {
			continue // an empty variable is none
		}
		if slices.Contains(lists, name+"s") {
			name += "s"
		}
		for form == 0 && strings.HasPrefix(value, "[") && !closed(value) && i+1 < len(lines) {
			i++
			value += "\n" + lines[i]
		}
		values, err := optionValues(value, form)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %s: %w", file, at, name, err)
		}
		key := root.at(name)
		switch {
		case key.none:
			key = root.add(name, at)
			key.list = true
		case form == 0:
			return nil, fmt.Errorf("%s:%d: %s is written twice", file, at, name)
		}
		for _, v := range values {
			key.add(strconv.Itoa(len(key.kids)+1), at+v.below).text = v.text
		}
	}
	if len(root.kids) == 0 {
		return nil, fmt.Errorf("%s: there is no option of oauth2-proxy in it", file)
	}
	return root, nil
}

// another is an argument in the value of one.
var another = regexp.MustCompile(`[\s"',\[]--?[a-z]`)

var element = regexp.MustCompile(`^\s*(?:#[^\n]*\n\s*)*("(?:[^"\\\n]|\\.)*"|'[^'\n]*'|[^\s,\]#"']+)\s*(?:,|#[^\n]*(?:\n|$))?`)

// closed tells whether a list that may go over lines has its end.
func closed(value string) bool {
	_, err := optionList(value)
	return err == nil
}

// optionValue is a value, and how many lines below its option it stands.
type optionValue struct {
	text  string
	below int
}

func optionValues(value string, form int) ([]optionValue, error) {
	if form == 0 && strings.HasPrefix(value, "[") {
		return optionList(value)
	}
	if form == 0 {
		m := element.FindStringSubmatch(value)
		if m == nil || strings.TrimSpace(strings.TrimLeft(value[len(m[0]):], " ")) != "" && !strings.HasPrefix(strings.TrimSpace(value[len(m[0]):]), "#") {
			return nil, fmt.Errorf("its value can't be read")
		}
		text, err := unquote(m[1])
		return []optionValue{{text, 0}}, err
	}
	value = strings.Trim(value, `"'`)
	if value == "" && form == 2 {
		value = "true"
	}
	if form != 1 {
		return []optionValue{{value, 0}}, nil
	}
	var values []optionValue
	for _, one := range strings.Split(value, ",") {
		values = append(values, optionValue{one, 0})
	}
	return values, nil
}

func optionList(value string) (values []optionValue, err error) {
	rest := strings.TrimPrefix(value, "[")
	for {
		trimmed := strings.TrimLeft(rest, " \t\n,")
		if strings.HasPrefix(trimmed, "#") {
			_, rest, _ = strings.Cut(trimmed, "\n")
			continue
		}
		if after, ok := strings.CutPrefix(trimmed, "]"); ok {
			if after = strings.TrimSpace(after); after != "" && after[0] != '#' {
				return nil, fmt.Errorf("something follows the list")
			}
			return values, nil
		}
		m := element.FindStringSubmatch(trimmed)
		if m == nil {
			return nil, fmt.Errorf("its list has no end")
		}
		one, err := unquote(m[1])
		if err != nil {
			return nil, err
		}
		values = append(values, optionValue{one, strings.Count(value[:len(value)-len(trimmed)], "\n")})
		rest = trimmed[len(m[0]):]
	}
}

func unquote(word string) (text string, err error) {
	switch word[0] {
	case '"':
		if text, err = strconv.Unquote(word); err != nil {
			err = fmt.Errorf("its text can't be read")
		}
		return text, err
	case '\'':
		return word[1 : len(word)-1], nil
	}
	return word, nil
}
