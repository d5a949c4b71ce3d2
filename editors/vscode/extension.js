// The client of `archdsl server`, and the one command that needs a list to choose from.

const fs = require("fs");
const path = require("path");
const vscode = require("vscode");
const { LanguageClient, TransportKind } = require("vscode-languageclient/node");

let client;
let bundled; // the folder of the server that comes with the extension

async function activate(context) {
  bundled = context.asAbsolutePath("server");
  context.subscriptions.push(
    vscode.commands.registerCommand("arch.chooseNet", chooseNet),
    vscode.commands.registerCommand("arch.restart", () => (client ? client.restart() : start())),
  );
  await start();
}

async function start() {
  const run = { ...chosen(), transport: TransportKind.stdio };
  client = new LanguageClient(
    "archdsl",
    "archdsl",
    { run, debug: run },
    { documentSelector: [{ language: "arch" }] },
  );
  try {
    await client.start();
  } catch (problem) {
    client = undefined;
    vscode.window.showErrorMessage(
      `archdsl: \`${run.command}\` did not start (${problem.message}). It takes Python 3.10 or newer; ` +
        '`pip install "archdsl[lsp]"` brings a server, and `arch.server.command` says where one is.',
    );
  }
}

/** What starts the server: the setting, else `archdsl` on the path, else Python with what the extension brings. */
function chosen() {
  const [command, ...args] = vscode.workspace.getConfiguration("arch").get("server.command");
  if (command) {
    return { command: placed(command), args };
  }
  if (onPath("archdsl") || !fs.existsSync(bundled)) {
    return { command: "archdsl", args: ["server"] };
  }
  const env = { ...process.env, PYTHONPATH: bundled };
  return { command: onPath("python3") ? "python3" : "python", args: ["-m", "archdsl", "server"], options: { env } };
}

function onPath(name) {
  const endings = process.platform === "win32" ? [".exe", ".cmd", ".bat"] : [""];
  const folders = (process.env.PATH ?? "").split(path.delimiter).filter(Boolean);
  return folders.some((folder) => endings.some((ending) => fs.existsSync(path.join(folder, name + ending))));
}

/** A path in the workspace as a whole path; a bare name is looked for where programs are. */
function placed(command) {
  const folder = vscode.workspace.workspaceFolders?.[0]?.uri.fsPath;
  return folder && command.includes("/") && !path.isAbsolute(command) ? path.join(folder, command) : command;
}

async function chooseNet() {
  const uri = vscode.window.activeTextEditor?.document.uri.toString();
  if (!uri || !client) {
    return;
  }
  const { nets, chosen } = await client.sendRequest("workspace/executeCommand", {
    command: "archdsl.nets",
    arguments: [uri],
  });
  const items = nets.map((label) => ({ label, description: label === chosen ? "shown now" : "" }));
  const picked = await vscode.window.showQuickPick(items, { placeHolder: "The net whose shapes are shown" });
  if (picked) {
    await client.sendRequest("workspace/executeCommand", {
      command: "archdsl.chooseNet",
      arguments: [uri, picked.label],
    });
  }
}

function deactivate() {
  return client?.stop();
}

module.exports = { activate, deactivate, chosen };
