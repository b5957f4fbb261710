import type { Provider } from '../provider.ts';
import { simulatedChat } from './chat.ts';
import { simulatedEmbed } from './embedding.ts';
import { simulatedImage } from './image.ts';

/**
 * The provider of an installation without keys: real text and real pictures that say they are simulated, and vectors of the words alone. No network, no cost;
 * the same request gets the same answer.
 */
export const createSimulated = (): Provider => ({ name: 'simulated', chat: simulatedChat, image: simulatedImage, embed: simulatedEmbed });
