// What the billing server is told: plain data that crosses threads as it is, but for the message port, which is transferred.
import type { MessagePort } from 'node:worker_threads'
import type { PriceBookDocument } from '../domain/price-book.ts'
import type { LedgerOptions } from '../ledger/ledger-types.ts'

export interface ListenOptions { readonly host: string, readonly port: number }

export interface BillingRules {
  /** Members read their own charges here. */
  readonly listen: ListenOptions
  /** Programs of the operator read everybody's charges here. */
  readonly privateListen: ListenOptions
  readonly priceBook: PriceBookDocument
  /** Without it no member can be recognised, and all are refused. */
  readonly memberSecret?: string | undefined
  readonly operatorTokens: readonly { readonly name: string, readonly token: string }[]
  readonly rangeDaysMax: number
}

export interface BillingThreadOptions {
  readonly rules: BillingRules
  readonly ledger: Omit<LedgerOptions, 'log'>
  /** Of the hourly log. */
  readonly partitions: readonly number[]
  /** The ledger's end of the embedded hourly log. */
  readonly hourlyLogPort: MessagePort
}
