// The client of `archdsl server`, and the one command that needs a list to choose from.

const path = require("path");
const vscode = require("vscode");
const { LanguageClient, TransportKind } = require("vscode-languageclient/node");

let client;

async function activate(context) {
  context.subscriptions.push(
    vscode.commands.registerCommand("arch.chooseNet", chooseNet),
    vscode.commands.registerCommand("arch.restart", () => (client ? client.restart() : start())),
  );
  await start();
}

async function start() {
  const [command, ...args] = vscode.workspace.getConfiguration("arch").get("server.command");
  const run = { command: placed(command), args, transport: TransportKind.stdio };
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
      `archdsl: \`${command}\` did not start (${problem.message}). ` +
        'Install it with `pip install "archdsl[lsp]"`, or say in `arch.server.command` where it is.',
    );
  }
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

module.exports = { activate, deactivate };
