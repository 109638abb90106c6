// network-policy is a CNI plugin to be chained behind the one that makes a pod's network: it tells
// the agent of the pod, and lets it start only when the agent has answered that its rules are in
// force. It changes nothing itself, and passes on the result that it was given.
//
// Without the agent's socket it is to be chained before that one. It settles then that addresses of
// IPv6 are of use at once: a pod is alone on its link, and a second is much to ask of each.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"time"
)

const limit = 30 * time.Second

type config struct {
	CNIVersion string          `json:"cniVersion"`
	Socket     string          `json:"socket"`
	Previous   json.RawMessage `json:"prevResult"`
}

type result struct {
	IPs []struct {
		Address string `json:"address"`
	} `json:"ips"`
}

type message struct {
	Command   string   `json:"command"`
	Namespace string   `json:"namespace"`
	Name      string   `json:"name"`
	Addresses []string `json:"addresses"`
}

func main() {
	given, err := read(os.Stdin)
	if err == nil {
		err = act(os.Getenv("CNI_COMMAND"), given)
	}
	if err != nil {
		// the form and the code of CNI's specification: "try again later"
		told, _ := json.Marshal(map[string]any{
			"cniVersion": given.CNIVersion, "code": 11, "msg": err.Error(),
		})
		fmt.Println(string(told))
		os.Exit(1)
	}
}

func read(from io.Reader) (config, error) {
	var given config
	err := json.NewDecoder(from).Decode(&given)
	return given, err
}

func act(command string, given config) error {
	switch command {
	case "ADD":
		if given.Socket == "" {
			if err := prepare(os.Getenv("CNI_NETNS")); err != nil {
				return err
			}
			fmt.Printf("{\"cniVersion\":%q}\n", given.CNIVersion)
			return nil
		}
		if err := tell(given, command); err != nil {
			return err
		}
		fmt.Println(string(given.Previous))
	case "DEL":
		// an agent that is gone has nothing to forget, and a pod must be able to end
		if given.Socket != "" {
			_ = tell(given, command)
		}
	case "VERSION":
		fmt.Println(`{"cniVersion":"1.0.0","supportedVersions":["0.3.1","0.4.0","1.0.0"]}`)
	}
	return nil
}

func prepare(network string) error {
	setting := "net.ipv6.conf.default.accept_dad=0"
	said, err := exec.Command("nsenter", "--net="+network, "sysctl", "-qw", setting).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", setting, err, said)
	}
	return nil
}

func tell(given config, command string) error {
	told := message{Command: command}
	for _, pair := range strings.Split(os.Getenv("CNI_ARGS"), ";") {
		name, value, _ := strings.Cut(pair, "=")
		switch name {
		case "K8S_POD_NAMESPACE":
			told.Namespace = value
		case "K8S_POD_NAME":
			told.Name = value
		}
	}
	var previous result
	if len(given.Previous) > 0 {
		if err := json.Unmarshal(given.Previous, &previous); err != nil {
			return err
		}
	}
	for _, one := range previous.IPs {
		address, _, _ := strings.Cut(one.Address, "/")
		told.Addresses = append(told.Addresses, address)
	}
	return ask(given.Socket, told)
}

func ask(socket string, told message) error {
	connection, err := net.DialTimeout("unix", socket, limit)
	if err != nil {
		return err
	}
	defer connection.Close()
	if err := connection.SetDeadline(time.Now().Add(limit)); err != nil {
		return err
	}
	if err := json.NewEncoder(connection).Encode(told); err != nil {
		return err
	}
	line, err := bufio.NewReader(connection).ReadBytes('\n')
	if err != nil {
		return err
	}
	var answer struct {
		Error string `json:"error"`
	}
	if err := json.Unmarshal(line, &answer); err != nil {
		return err
	}
	if answer.Error != "" {
		return fmt.Errorf("network policies of %s/%s: %s", told.Namespace, told.Name, answer.Error)
	}
	return nil
}
